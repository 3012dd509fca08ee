//! Routes of the Gateway API, of the standard channel and of the experimental one as far as it is honoured.
//!
//! The kinds share their parts, whose types are here once: the upstream ones name each nesting anew. A field that is not
//! known could be what sends requests elsewhere: the route is not used.

mod duration;
mod filter;
mod matching;
mod policy;
mod reference;
mod rule;

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use self::{
    matching::{GrpcMatch, HttpMatch},
    reference::{ParentRef, parents},
    rule::{GrpcRule, HttpRule, StreamRule},
};
use super::super::{
    field::{Field, Findings},
    names::Rule,
};
use crate::model::{ObjectName, Route, RouteId, RouteKind, WrittenRule};

/// A route of one kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteManifest<R> {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Spec<R>,
}

/// An HTTPRoute.
pub(crate) type HttpManifest = RouteManifest<HttpRule>;

/// A GRPCRoute.
pub(crate) type GrpcManifest = RouteManifest<GrpcRule>;

/// A TLSRoute or a TCPRoute.
pub(crate) type StreamManifest = RouteManifest<StreamRule>;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<R> {
    parent_refs: Option<Vec<ParentRef>>,
    /// Which default Gateways take the route: nothing of a mesh's.
    use_default_gateways: Option<String>,
    hostnames: Option<Vec<String>>,
    rules: Option<Vec<R>>,
}

/// Reads an HTTPRoute.
pub(crate) fn http_route(manifest: HttpManifest, name: &ObjectName, findings: &mut Findings) -> Option<Route> {
    route(
        manifest,
        RouteKind::HttpRoute,
        name,
        findings,
        |written, field, findings| written.read(&name.namespace, field, findings),
    )
}

/// Reads a GRPCRoute.
pub(crate) fn grpc_route(manifest: GrpcManifest, name: &ObjectName, findings: &mut Findings) -> Option<Route> {
    route(
        manifest,
        RouteKind::GrpcRoute,
        name,
        findings,
        |written, field, findings| written.read(&name.namespace, field, findings),
    )
}

/// Reads a TLSRoute or a TCPRoute.
pub(crate) fn stream_route(
    manifest: StreamManifest,
    kind: RouteKind,
    name: &ObjectName,
    findings: &mut Findings,
) -> Option<Route> {
    route(manifest, kind, name, findings, |written, field, findings| {
        written.read(&name.namespace, field, findings)
    })
}

fn route<R: Default>(
    manifest: RouteManifest<R>,
    kind: RouteKind,
    name: &ObjectName,
    findings: &mut Findings,
    read: impl Fn(R, &Field, &mut Findings) -> WrittenRule,
) -> Option<Route> {
    let RouteManifest {
        api_version: _,
        kind: _,
        metadata,
        spec,
    } = manifest;
    let Spec {
        parent_refs,
        use_default_gateways: _,
        hostnames,
        rules,
    } = spec;
    let hostnames = hostnames.unwrap_or_default();
    let server_names: Vec<Arc<str>> = match kind {
        RouteKind::TlsRoute => hostnames.iter().map(|name| name.as_str().into()).collect(),
        RouteKind::HttpRoute | RouteKind::GrpcRoute | RouteKind::TcpRoute => Vec::new(),
    };
    let parents = parents(parent_refs.unwrap_or_default(), &name.namespace, findings);
    if !parents.is_empty() && !hostnames.is_empty() && server_names.is_empty() {
        let reason = "a Service's traffic is told by its address: hostnames have no effect in the mesh";
        findings.notice(Field::at("spec.hostnames"), reason);
    }
    if kind == RouteKind::TlsRoute && !parents.is_empty() {
        check_server_names(&server_names, findings);
    }
    // As the API server fills it in: a rule for everything.
    let rules = rules.unwrap_or_else(|| vec![R::default()]);
    let field = Field::at("spec.rules");
    let rules = rules.into_iter().enumerate();
    let route = Route {
        id: RouteId {
            kind,
            name: name.clone(),
        },
        created: metadata.creation_timestamp.map(|time| time.0.as_second()),
        parents,
        server_names,
        rules: rules
            .map(|(index, written)| read(written, &field.index(index), findings))
            .collect(),
    };
    findings.admit(route)
}

/// As the API server has it (GEP-2643): at least one, no addresses, and a wildcard for the first label only.
fn check_server_names(names: &[Arc<str>], findings: &mut Findings) {
    let field = Field::at("spec.hostnames");
    if names.is_empty() {
        findings.error(field.clone(), "a TLSRoute decides by server names, and has none");
    }
    for (index, name) in names.iter().enumerate() {
        let field = field.index(index);
        if name.parse::<IpAddr>().is_ok() {
            findings.error(
                field,
                format!("`{name}` is an address, which no client names as its server (RFC 6066)"),
            );
        } else {
            findings.accept(&field, Rule::Subdomain.check(name.strip_prefix("*.").unwrap_or(name)));
        }
    }
}

#[cfg(test)]
mod tests;

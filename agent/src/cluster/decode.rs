//! Kubernetes' own decoding of one object of a known kind, then [`convert`].

use std::sync::Arc;

use k8s_openapi::api::{core::v1, discovery, networking};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};
use serde_path_to_error::Segment;

use super::{
    convert,
    field::{Field, Findings, Step},
    objects::{Key, Kind, Object},
};
use crate::model::{ObjectName, RouteKind};

/// What becomes of a field of Kubernetes' own kinds that is not known; those of Weft's kinds are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It is told: who wrote it most often misspelt it.
    Told,
    /// It is passed over: a newer API server has it.
    Passed,
}

/// Decodes an object whose kind and name are known; none where it cannot be used.
pub(crate) fn decode(key: &Key, json: &Json, unknown: Unknown, findings: &mut Findings) -> Option<Object> {
    let name = &key.name;
    if json.get("apiVersion").and_then(Json::as_str) != Some(key.kind.api_version()) {
        let reason = format!(
            "this version of the kind is not read, only `{}`",
            key.kind.api_version()
        );
        findings.error(Field::at("apiVersion"), reason);
        return None;
    }
    let object = match key.kind {
        Kind::Namespace => {
            let namespace = convert::namespace(typed(json, unknown, findings)?, findings)?;
            Object::Namespace(Arc::new(namespace))
        }
        Kind::Pod => Object::Pod(Arc::new(convert::pod(
            typed::<v1::Pod>(json, unknown, findings)?,
            name,
            findings,
        )?)),
        Kind::Service => {
            let service = convert::service(typed::<v1::Service>(json, unknown, findings)?, name, findings)?;
            Object::Service(Arc::new(service))
        }
        Kind::EndpointSlice => {
            let manifest = typed::<discovery::v1::EndpointSlice>(json, unknown, findings)?;
            Object::EndpointSlice(Arc::new(convert::slice(manifest, name, findings)?))
        }
        Kind::Node => Object::Node(Arc::new(convert::node(typed(json, unknown, findings)?, findings)?)),
        Kind::MeshConfig => {
            let manifest = own::<convert::MeshConfigManifest>(json, findings, Findings::error)?;
            Object::MeshConfig(Arc::new(convert::mesh_config(manifest, findings)?))
        }
        Kind::AuthenticationPolicy => {
            let manifest = own::<convert::AuthenticationManifest>(json, findings, Findings::unhonoured)?;
            Object::AuthenticationPolicy(Arc::new(convert::authentication(manifest, name, findings)?))
        }
        Kind::AuthorizationPolicy => {
            let manifest = own::<convert::AuthorizationManifest>(json, findings, Findings::unhonoured)?;
            Object::AuthorizationPolicy(Arc::new(convert::authorization(manifest, name, findings)?))
        }
        Kind::HttpRoute => {
            let manifest = own::<convert::HttpManifest>(json, findings, Findings::error)?;
            Object::Route(Arc::new(convert::http_route(manifest, name, findings)?))
        }
        Kind::GrpcRoute => {
            let manifest = own::<convert::GrpcManifest>(json, findings, Findings::error)?;
            Object::Route(Arc::new(convert::grpc_route(manifest, name, findings)?))
        }
        Kind::TlsRoute => stream_route(RouteKind::TlsRoute, json, name, findings)?,
        Kind::TcpRoute => stream_route(RouteKind::TcpRoute, json, name, findings)?,
        Kind::NetworkPolicy => {
            let manifest = typed::<networking::v1::NetworkPolicy>(json, unknown, findings)?;
            Object::NetworkPolicy(convert::network_policy(&manifest))
        }
    };
    Some(object)
}

fn stream_route(kind: RouteKind, json: &Json, name: &ObjectName, findings: &mut Findings) -> Option<Object> {
    let manifest = own::<convert::StreamManifest>(json, findings, Findings::error)?;
    let route = convert::stream_route(manifest, kind, name, findings)?;
    Some(Object::Route(Arc::new(route)))
}

/// Decodes into the type; fields that the type does not know may be told, since they are most often misspelt.
fn typed<T: DeserializeOwned + Serialize>(json: &Json, unknown: Unknown, findings: &mut Findings) -> Option<T> {
    let decoded = decoded::<T>(json, findings)?;
    if unknown == Unknown::Told {
        unknown_fields(json, &understood(&decoded), &Field::default(), &mut |field| {
            findings.notice(field, "unknown field: it has no effect");
        });
    }
    Some(decoded)
}

/// Decodes one of Weft's own kinds, or a route: a field of its spec that is not known could be what closes something, or
/// what sends requests elsewhere.
///
/// A spec that is left out says nothing, as an empty one. The status is not looked at: what others have written there must
/// not make a policy deny.
fn own<T: DeserializeOwned + Serialize>(
    json: &Json,
    findings: &mut Findings,
    unknown: fn(&mut Findings, Field, &'static str),
) -> Option<T> {
    let mut json = json.clone();
    if let Some(object) = json.as_object_mut() {
        object.remove("status");
        object.entry("spec").or_insert_with(|| Json::Object(Map::new()));
    }
    let decoded = decoded::<T>(&json, findings)?;
    unknown_fields(&json, &understood(&decoded), &Field::default(), &mut |field| {
        if field.steps().first() == Some(&Step::Key("metadata".into())) {
            findings.notice(field, "unknown field: it has no effect");
        } else {
            unknown(findings, field, "unknown field");
        }
    });
    Some(decoded)
}

fn decoded<T: DeserializeOwned>(json: &Json, findings: &mut Findings) -> Option<T> {
    serde_path_to_error::deserialize::<_, T>(json)
        .map_err(|error| {
            let field = error.path().iter().filter_map(step).collect();
            findings.error(field, error.inner().to_string());
        })
        .ok()
}

fn understood<T: Serialize>(decoded: &T) -> Json {
    serde_json::to_value(decoded).unwrap_or(Json::Null)
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// Whatever was written but is not in what was understood.
fn unknown_fields(written: &Json, understood: &Json, field: &Field, tell: &mut dyn FnMut(Field)) {
    match (written, understood) {
        (Json::Object(written), Json::Object(understood)) => {
            for (key, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                match understood.get(key) {
                    Some(known) => unknown_fields(value, known, &field.key(key), tell),
                    None => tell(field.key(key)),
                }
            }
        }
        (Json::Array(written), Json::Array(understood)) => {
            for (index, (value, known)) in written.iter().zip(understood).enumerate() {
                unknown_fields(value, known, &field.index(index), tell);
            }
        }
        _ => {}
    }
}

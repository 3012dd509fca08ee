//! Kubernetes' types become [`objects`](super::objects) here, at the door, one kind a file; each field that does not fit is
//! a finding.

mod authentication;
mod authorization;
mod mesh_config;
mod namespace;
mod network_policy;
mod node;
mod operation;
mod pod;
mod port;
mod route;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod slice;
mod source;
pub(super) mod status;
mod target;
mod written;

pub(super) use authentication::{AuthenticationManifest, authentication};
pub(super) use authorization::{AuthorizationManifest, authorization};
pub(super) use mesh_config::{MeshConfigManifest, mesh_config};
pub(super) use namespace::namespace;
pub(super) use network_policy::network_policy;
pub(super) use node::node;
pub(super) use pod::pod;
pub(super) use route::{GrpcManifest, HttpManifest, StreamManifest, grpc_route, http_route, stream_route};
pub(super) use service::service;
pub(super) use slice::slice;

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    enrolment::MESH_LABEL,
    field::{Field, Findings},
    objects::MeshLabel,
};

/// Reads the label `weft.dev/mesh`.
fn mesh_label<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    findings: &mut Findings,
) -> Option<MeshLabel> {
    let (_, value) = labels.into_iter().find(|(key, _)| *key == MESH_LABEL)?;
    match value.as_str() {
        "enabled" => Some(MeshLabel::Enabled),
        "disabled" => Some(MeshLabel::Disabled),
        other => {
            let field = Field::at("metadata.labels").key(MESH_LABEL);
            findings.error(field, format!("`{other}` is neither `enabled` nor `disabled`"));
            None
        }
    }
}

/// Reads an address; a v4 address written as v6 becomes v4.
fn ip(text: &str, field: &Field, findings: &mut Findings) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok();
    findings
        .accept(field, ip.ok_or_else(|| format!("`{text}` is not an IP address")))
        .map(|ip| ip.to_canonical())
}

/// Reads an address range.
///
/// `IpNet` takes zeros before a number, which others take for octal: the API server's CEL refuses them, and so does this.
fn range(text: &str, field: &Field, findings: &mut Findings) -> Option<IpNet> {
    let address = text
        .split_once('/')
        .and_then(|(address, _)| address.parse::<IpAddr>().ok());
    let range = address.and_then(|_| text.parse::<IpNet>().ok());
    findings.accept(
        field,
        range.ok_or_else(|| format!("`{text}` is not an address range such as 10.0.0.0/8")),
    )
}

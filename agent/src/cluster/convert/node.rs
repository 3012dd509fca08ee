//! Nodes: their zone and the addresses of their pods.

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node as Manifest;

use super::super::{
    field::{Field, Findings},
    objects::Node,
};

/// The label that names a node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Reads a Node.
pub(crate) fn node(manifest: Manifest, findings: &mut Findings) -> Option<Node> {
    let zone = manifest
        .metadata
        .labels
        .unwrap_or_default()
        .remove(ZONE_LABEL)
        .filter(|zone| !zone.is_empty());
    let spec = manifest.spec.unwrap_or_default();
    let several = spec.pod_cidrs.filter(|cidrs| !cidrs.is_empty());
    let (field, cidrs) = match (several, spec.pod_cidr) {
        (Some(cidrs), _) => (Field::at("spec.podCIDRs"), cidrs),
        (None, single) => (Field::at("spec.podCIDR"), single.into_iter().collect()),
    };
    let pod_cidrs = cidrs
        .iter()
        .enumerate()
        .filter_map(|(position, cidr)| {
            let field = if field == Field::at("spec.podCIDR") {
                field.clone()
            } else {
                field.index(position)
            };
            findings.accept(
                &field,
                cidr.parse::<IpNet>()
                    .map_err(|_| format!("`{cidr}` is not an address range")),
            )
        })
        .collect();
    findings.admit(Node {
        zone: zone.map(Into::into),
        pod_cidrs,
    })
}

//! Nodes: their zone and the addresses of their pods.

use k8s_openapi::api::core::v1::Node as Manifest;

use super::{
    super::{
        field::{Field, Findings},
        objects::Node,
    },
    range,
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
    let several = spec.pod_cidrs.iter().flatten().enumerate();
    let mut cidrs: Vec<(Field, &String)> = several
        .map(|(index, cidr)| (Field::at("spec.podCIDRs").index(index), cidr))
        .collect();
    if cidrs.is_empty() {
        cidrs.extend(spec.pod_cidr.iter().map(|cidr| (Field::at("spec.podCIDR"), cidr)));
    }
    let pod_cidrs = cidrs
        .into_iter()
        .filter_map(|(field, cidr)| range(cidr, &field, findings))
        .collect();
    findings.admit(Node {
        zone: zone.map(Into::into),
        pod_cidrs,
    })
}

//! EndpointSlices; as kube-proxy does, only the first address of an endpoint is read, and no port without a number.

use k8s_openapi::api::{
    core::v1::ObjectReference,
    discovery::v1::{Endpoint, EndpointHints as Hints, EndpointPort, EndpointSlice as Manifest},
};

use super::{
    super::{
        field::{Field, Findings},
        objects::{Slice, SliceEndpoint, SlicePort},
    },
    ip, port,
};
use crate::model::{EndpointHints, Family, ObjectName, PodUid};

/// The label that names the service of a slice.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Reads an EndpointSlice.
pub(crate) fn slice(manifest: Manifest, name: &ObjectName, findings: &mut Findings) -> Option<Slice> {
    let service = manifest.metadata.labels.unwrap_or_default().remove(SERVICE_LABEL);
    if service.is_none() {
        let field = Field::at("metadata.labels").key(SERVICE_LABEL);
        findings.notice(field, "the label is missing: the slice belongs to no service");
    }
    let family = match manifest.address_type.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        "FQDN" => {
            findings.notice(
                Field::at("addressType"),
                "FQDN is not supported: the slice has no endpoints",
            );
            None
        }
        other => {
            findings.error(
                Field::at("addressType"),
                format!("`{other}` is none of IPv4, IPv6, FQDN"),
            );
            None
        }
    };
    let ports = manifest.ports.unwrap_or_default();
    let ports = ports
        .iter()
        .enumerate()
        .filter_map(|(index, port)| slice_port(port, index, findings))
        .collect();
    let endpoints = family.map_or_else(Vec::new, |family| {
        let endpoints = manifest.endpoints.into_iter().enumerate();
        endpoints
            .filter_map(|(index, endpoint)| slice_endpoint(endpoint, index, family, name, findings))
            .collect()
    });
    let service = service.map(|service| ObjectName::new(name.namespace.clone(), service));
    findings.admit(Slice {
        service,
        ports,
        endpoints,
    })
}

fn slice_port(manifest: &EndpointPort, index: usize, findings: &mut Findings) -> Option<SlicePort> {
    let field = Field::at("ports").index(index);
    let transport = port::transport(manifest.protocol.as_deref(), &field.key("protocol"), findings);
    let port = port::number(manifest.port?, &field.key("port"), findings)?;
    Some(SlicePort {
        name: manifest.name.clone().unwrap_or_default(),
        transport: transport?,
        port,
    })
}

fn slice_endpoint(
    manifest: Endpoint,
    index: usize,
    family: Family,
    slice: &ObjectName,
    findings: &mut Findings,
) -> Option<SliceEndpoint> {
    let field = Field::at("endpoints").index(index).key("addresses");
    let Some(address) = manifest.addresses.first() else {
        findings.error(field, "an endpoint needs an address");
        return None;
    };
    let field = field.index(0);
    let ip = ip(address, &field, findings)?;
    if Family::of(ip) != family {
        findings.error(field, format!("`{address}` is not of the slice's addressType"));
        return None;
    }
    let conditions = manifest.conditions.unwrap_or_default();
    Some(SliceEndpoint {
        ip,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        node: manifest.node_name.map(Into::into),
        zone: manifest.zone.map(Into::into),
        hints: manifest.hints.map(hints).unwrap_or_default(),
        hostname: manifest.hostname.map(Into::into),
        pod: manifest
            .target_ref
            .and_then(|reference| pod_reference(reference, slice)),
    })
}

fn hints(manifest: Hints) -> EndpointHints {
    EndpointHints {
        zones: manifest
            .for_zones
            .unwrap_or_default()
            .into_iter()
            .map(|zone| zone.name.into())
            .collect(),
        nodes: manifest
            .for_nodes
            .unwrap_or_default()
            .into_iter()
            .map(|node| node.name.into())
            .collect(),
    }
}

/// The pod that an endpoint names; without a UID it is that of a manifest's pod.
///
/// It is of the slice's own namespace, whatever the reference says: who may write slices must not be able to borrow the
/// pod of another namespace, which then proves to be of its own.
fn pod_reference(reference: ObjectReference, slice: &ObjectName) -> Option<(PodUid, ObjectName)> {
    if reference.kind.as_deref() != Some("Pod") {
        return None;
    }
    let name = ObjectName::new(slice.namespace.clone(), reference.name?);
    let uid = reference.uid.map_or_else(|| PodUid::derived(&name), PodUid::new);
    Some((uid, name))
}

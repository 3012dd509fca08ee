//! What a name in the cluster's domain stands for, as Kubernetes' DNS specification lays names out.

use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::model::{Mesh, ObjectName, Service, Transport};

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The service.
    pub(super) service: Arc<Service>,
    /// Which part of it.
    pub(super) part: Part,
}

/// Which part of a service a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `service.namespace.svc.domain`.
    Whole,
    /// `endpoint.service.namespace.svc.domain`: by its host name, or by its address with dashes.
    Endpoint(String),
    /// `_port._protocol.service.namespace.svc.domain`.
    Port {
        /// The port's name.
        name: String,
        /// The protocol.
        transport: Transport,
    },
}

// === impl Asked ===

impl Asked {
    /// Reads a name; none where it is of no service in the mesh.
    pub(super) fn parse(mesh: &Mesh, name: &Name) -> Option<Self> {
        let labels = labels_in_services(mesh, name)?;
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (part, service, namespace) = match *labels.as_slice() {
            [service, namespace] => (Part::Whole, service, namespace),
            [endpoint, service, namespace] => (Part::Endpoint(endpoint.into()), service, namespace),
            [port, protocol, service, namespace] => {
                let part = Part::Port {
                    name: port.strip_prefix('_')?.into(),
                    transport: transport(protocol)?,
                };
                (part, service, namespace)
            }
            _ => return None,
        };
        let service = mesh.services.get(&ObjectName::new(namespace, service))?;
        Some(Self {
            service: service.clone(),
            part,
        })
    }
}

/// Whether a name lies where services have theirs.
pub(super) fn is_service_name(mesh: &Mesh, name: &Name) -> bool {
    labels_in_services(mesh, name).is_some()
}

/// The labels before `svc.<cluster domain>`, in lower case; none where the name lies elsewhere.
fn labels_in_services(mesh: &Mesh, name: &Name) -> Option<Vec<String>> {
    let mut labels: Vec<String> = name
        .iter()
        .map(|label| str::from_utf8(label).map(str::to_ascii_lowercase))
        .collect::<Result<_, _>>()
        .ok()?;
    let domain = mesh.config.cluster_domain.trim_end_matches('.').to_ascii_lowercase();
    for expected in domain.rsplit('.').chain(["svc"]) {
        if labels.pop()? != expected {
            return None;
        }
    }
    Some(labels)
}

fn transport(protocol: &str) -> Option<Transport> {
    match protocol {
        "_tcp" => Some(Transport::Tcp),
        "_udp" => Some(Transport::Udp),
        "_sctp" => Some(Transport::Sctp),
        _ => None,
    }
}

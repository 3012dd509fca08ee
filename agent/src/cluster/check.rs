//! What does not fit together among objects that are each valid.

mod policies;
mod routes;

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Display,
    hash::Hash,
    net::IpAddr,
};

use super::{
    enrolment::MESH_LABEL,
    field::{Field, Finding},
    objects::{Key, Kind, Objects, PortReference, Scope, Service},
    slices::{Backends, target_of},
};
use crate::model::{NotEnrolled, ObjectName, Severity};

/// Looks in objects, whose backends these are, for what its author will not have meant.
pub(super) fn check(objects: &Objects, backends: &Backends<'_>) -> Vec<(Key, Finding)> {
    let mut checked = Checked::default();
    checked.policies(objects, backends);
    checked.routes(objects);
    match objects.scope {
        Scope::Manifests => {}
        // The API server sees to the rest, and of other nodes' pods nothing is known.
        Scope::Cluster => return checked.0,
    }
    checked.unique(Kind::Service, "spec.clusterIPs", cluster_ips(objects));
    checked.unique(Kind::Pod, "status.podIPs", pod_ips(objects));
    checked.unique(
        Kind::Pod,
        "metadata.uid",
        objects.pods.iter().map(|(name, pod)| (name, &pod.uid)).collect(),
    );
    checked.namespaces(objects);
    for service in objects.services.values() {
        checked.selector(service, backends);
    }
    checked.slices(objects);
    checked.0
}

/// What was found so far.
#[derive(Default)]
struct Checked(Vec<(Key, Finding)>);

// === impl Checked ===

impl Checked {
    fn add(&mut self, severity: Severity, key: Key, field: Field, reason: String) {
        self.0.push((
            key,
            Finding {
                field,
                severity,
                reason,
            },
        ));
    }

    /// Tells whoever claims what another one, first by name, has already.
    fn unique<T: Hash + Eq + Display>(&mut self, kind: Kind, field: &str, claims: Vec<(&ObjectName, T)>) {
        let mut owners: HashMap<T, &ObjectName> = HashMap::with_capacity(claims.len());
        for (name, claimed) in claims {
            if let Some(owner) = owners.get(&claimed) {
                let reason = format!("{claimed} is already {} {owner}'s", kind.label());
                self.add(Severity::Error, key(kind, name), Field::at(field), reason);
                continue;
            }
            owners.insert(claimed, name);
        }
    }

    /// A namespace without an object has no labels, which surprises who expects its pods in the mesh.
    fn namespaces(&mut self, objects: &Objects) {
        let mut told = BTreeSet::new();
        for (name, pod) in &objects.pods {
            let known = objects.namespaces.contains_key(&name.namespace) || pod.enrols.is_some();
            if known || !told.insert(&name.namespace) {
                continue;
            }
            let reason = format!(
                "there is no Namespace {}: its pods are enrolled by their own label `{MESH_LABEL}` only",
                name.namespace
            );
            self.add(
                Severity::Notice,
                key(Kind::Pod, name),
                Field::at("metadata.namespace"),
                reason,
            );
        }
    }

    fn selector(&mut self, service: &Service, backends: &Backends<'_>) {
        let key = key(Kind::Service, &service.service.name);
        if service.selector.is_empty() || backends.has_slices(&key.name) {
            return;
        }
        let pods: Vec<_> = backends.selection(service).collect();
        if pods.is_empty() {
            self.add(
                Severity::Notice,
                key,
                Field::at("spec.selector"),
                "it selects no pod".into(),
            );
            return;
        }
        for (index, (port, target)) in service.service.ports.iter().zip(&service.targets).enumerate() {
            let PortReference::Name(port_name) = target else {
                continue;
            };
            if pods
                .iter()
                .any(|(_, pod)| target_of(&pod.ports, port.transport, target).is_some())
            {
                continue;
            }
            let field = Field::at("spec.ports").index(index).key("targetPort");
            let reason = format!("no selected pod has a port named `{port_name}`");
            self.add(Severity::Notice, key.clone(), field, reason);
        }
    }

    fn slices(&mut self, objects: &Objects) {
        for (name, slice) in &objects.slices {
            let Some(service) = slice
                .service
                .as_ref()
                .filter(|service| !objects.services.contains_key(*service))
            else {
                continue;
            };
            let reason = format!("there is no Service {service}");
            self.add(
                Severity::Notice,
                key(Kind::EndpointSlice, name),
                Field::at("metadata.labels"),
                reason,
            );
        }
    }
}

fn key(kind: Kind, name: &ObjectName) -> Key {
    Key {
        kind,
        name: name.clone(),
    }
}

fn cluster_ips(objects: &Objects) -> Vec<(&ObjectName, IpAddr)> {
    let services = objects.services.iter();
    services
        .flat_map(|(name, service)| service.service.cluster_ips.iter().map(move |ip| (name, *ip)))
        .collect()
}

/// The addresses that pods have for themselves.
fn pod_ips(objects: &Objects) -> Vec<(&ObjectName, IpAddr)> {
    let shared = [Some(NotEnrolled::HostNetwork), Some(NotEnrolled::Ended)];
    let pods = objects.pods.iter().filter(|(_, pod)| !shared.contains(&pod.obstacle));
    pods.flat_map(|(name, pod)| pod.ips.iter().map(move |ip| (name, *ip)))
        .collect()
}

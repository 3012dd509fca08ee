//! What does not fit together among objects that are each valid.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    enrolment::MESH_LABEL,
    field::{Field, Finding, Findings},
    objects::{Key, Kind, Objects, PortReference, Service},
    slices::{Backends, target_of},
};
use crate::model::{NotEnrolled, ObjectName, PodUid};

/// Looks for what its author will not have meant.
pub(crate) fn check(objects: &Objects) -> Vec<(Key, Finding)> {
    let backends = Backends::new(objects);
    let mut checked = Checked::default();
    checked.service_addresses(objects);
    checked.pod_addresses(objects);
    checked.pod_uids(objects);
    checked.namespaces(objects);
    for service in objects.services.values() {
        checked.add(Kind::Service, &service.service.name, |findings| {
            selector(service, &backends, findings)
        });
    }
    for (name, slice) in &objects.slices {
        let Some(service) = slice
            .service
            .as_ref()
            .filter(|service| !objects.services.contains_key(*service))
        else {
            continue;
        };
        checked.add(Kind::EndpointSlice, name, |findings| {
            findings.notice(Field::at("metadata.labels"), format!("there is no Service {service}"));
        });
    }
    checked.0
}

/// What was found so far.
#[derive(Default)]
struct Checked(Vec<(Key, Finding)>);

// === impl Checked ===

impl Checked {
    fn add(&mut self, kind: Kind, name: &ObjectName, look: impl FnOnce(&mut Findings)) {
        let mut findings = Findings::default();
        look(&mut findings);
        let key = Key {
            kind,
            name: name.clone(),
        };
        self.0
            .extend(findings.into_vec().into_iter().map(|finding| (key.clone(), finding)));
    }

    fn service_addresses(&mut self, objects: &Objects) {
        let mut owners: BTreeMap<IpAddr, &ObjectName> = BTreeMap::new();
        for (name, service) in &objects.services {
            for ip in &service.service.cluster_ips {
                let owner = *owners.entry(*ip).or_insert(name);
                if owner != name {
                    self.add(Kind::Service, name, |findings| {
                        findings.error(
                            Field::at("spec.clusterIPs"),
                            format!("{ip} is already Service {owner}'s"),
                        );
                    });
                }
            }
        }
    }

    fn pod_addresses(&mut self, objects: &Objects) {
        let mut owners: BTreeMap<IpAddr, &ObjectName> = BTreeMap::new();
        for (name, pod) in &objects.pods {
            if let Some(NotEnrolled::HostNetwork | NotEnrolled::Ended) = pod.obstacle {
                continue;
            }
            for ip in &pod.ips {
                let owner = *owners.entry(*ip).or_insert(name);
                if owner != name {
                    self.add(Kind::Pod, name, |findings| {
                        findings.error(Field::at("status.podIPs"), format!("{ip} is already Pod {owner}'s"));
                    });
                }
            }
        }
    }

    fn pod_uids(&mut self, objects: &Objects) {
        let mut owners: BTreeMap<&PodUid, &ObjectName> = BTreeMap::new();
        for (name, pod) in &objects.pods {
            let owner = *owners.entry(&pod.uid).or_insert(name);
            if owner != name {
                self.add(Kind::Pod, name, |findings| {
                    findings.error(
                        Field::at("metadata.uid"),
                        format!("{} is already Pod {owner}'s", pod.uid),
                    );
                });
            }
        }
    }

    /// A namespace without an object has no labels, which surprises who expects its pods in the mesh.
    fn namespaces(&mut self, objects: &Objects) {
        let mut told = BTreeSet::new();
        for (name, pod) in &objects.pods {
            let known = objects.namespaces.contains_key(&name.namespace) || pod.enrols.is_some();
            if !known && told.insert(&name.namespace) {
                let reason = format!(
                    "there is no Namespace {}: its pods are enrolled by their own label `{MESH_LABEL}` only",
                    name.namespace
                );
                self.add(Kind::Pod, name, |findings| {
                    findings.notice(Field::at("metadata.namespace"), reason)
                });
            }
        }
    }
}

fn selector(service: &Service, backends: &Backends<'_>, findings: &mut Findings) {
    if service.selector.is_empty() || backends.has_slices(&service.service.name) {
        return;
    }
    let pods: Vec<_> = backends.selection(service).collect();
    if pods.is_empty() {
        findings.notice(Field::at("spec.selector"), "it selects no pod");
        return;
    }
    for (index, (port, target)) in service.service.ports.iter().zip(&service.targets).enumerate() {
        let PortReference::Name(name) = target else { continue };
        if !pods
            .iter()
            .any(|(_, pod)| target_of(&pod.ports, port.transport, target).is_some())
        {
            let field = Field::at("spec.ports").index(index).key("targetPort");
            findings.notice(field, format!("no selected pod has a port named `{name}`"));
        }
    }
}

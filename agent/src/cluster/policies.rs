//! What the model must know of policies: they themselves, and by which Services this node's pods are reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use super::{
    objects::{MeshLabel, Objects},
    slices::{Backends, target_of},
};
use crate::model::{Membership, ObjectName, PodUid, Policies, Service, Target, Transport};

/// See [`Membership::ports`].
type NamedPorts = Vec<(Arc<str>, Option<u16>)>;

/// Collects the policies for the pods of a node.
pub(super) fn policies(objects: &Objects, backends: &Backends<'_>, services: &[Arc<Service>], node: &str) -> Policies {
    Policies {
        authentication: objects.authentication.values().cloned().collect(),
        authorization: objects.authorization.values().cloned().collect(),
        undecodable: objects.undecodable.iter().cloned().collect(),
        memberships: memberships(objects, backends, services, node),
        enrolled_namespaces: objects
            .namespaces
            .iter()
            .filter(|(_, namespace)| namespace.enrols == Some(MeshLabel::Enabled))
            .map(|(name, _)| Arc::clone(name))
            .collect(),
        network_policies: network_policies(objects),
    }
}

/// The Services that policies target.
pub(super) fn targeted(objects: &Objects) -> BTreeSet<ObjectName> {
    let authentication = objects
        .authentication
        .values()
        .map(|policy| (&policy.name, &policy.target));
    let authorization = objects
        .authorization
        .values()
        .map(|policy| (&policy.name, &policy.target));
    let mut targeted = BTreeSet::new();
    for (policy, target) in authentication.chain(authorization) {
        match target {
            Target::All | Target::Selector(_) => {}
            Target::Services(services) => targeted.extend(services.iter().map(|target| ObjectName {
                namespace: Arc::clone(&policy.namespace),
                name: Arc::clone(&target.service),
            })),
        }
    }
    targeted
}

/// By selector and by slice: a pod that has just started is in no slice yet, and a slice may be written by hand.
fn memberships(
    objects: &Objects,
    backends: &Backends<'_>,
    services: &[Arc<Service>],
    node: &str,
) -> BTreeMap<PodUid, Vec<Membership>> {
    let targeted = targeted(objects);
    if targeted.is_empty() {
        return BTreeMap::new();
    }
    let here: BTreeSet<&PodUid> = objects
        .pods
        .values()
        .filter(|pod| pod.node.as_deref() == Some(node))
        .map(|pod| &pod.uid)
        .collect();
    let mut memberships: BTreeMap<PodUid, Vec<Membership>> = BTreeMap::new();
    for service in services.iter().filter(|service| targeted.contains(&service.name)) {
        let mut reached: BTreeMap<&PodUid, NamedPorts> = BTreeMap::new();
        let ports = || service.ports.iter().filter(|port| port.transport == Transport::Tcp);
        for port in ports() {
            for endpoint in &port.endpoints {
                let Some((uid, _)) = endpoint.pod.as_ref().filter(|(uid, _)| here.contains(uid)) else {
                    continue;
                };
                let number = (port.name.as_str().into(), Some(endpoint.address.port()));
                reached.entry(uid).or_default().push(number);
            }
        }
        let written = objects.services.get(&service.name);
        for (written, pod) in written.into_iter().flat_map(|written| {
            let selected = backends.selection(written).filter(|(_, pod)| here.contains(&pod.uid));
            selected.map(move |(_, pod)| (written, pod))
        }) {
            let numbers = reached.entry(&pod.uid).or_default();
            for (port, target) in written.service.ports.iter().zip(&written.targets) {
                if port.transport == Transport::Tcp {
                    numbers.push((port.name.as_str().into(), target_of(&pod.ports, port.transport, target)));
                }
            }
        }
        for (uid, mut ports) in reached {
            ports.sort();
            ports.dedup();
            memberships.entry(uid.clone()).or_default().push(Membership {
                service: service.name.clone(),
                ports,
            });
        }
    }
    memberships
}

fn network_policies(objects: &Objects) -> BTreeMap<Arc<str>, u64> {
    let mut hashers: BTreeMap<Arc<str>, DefaultHasher> = BTreeMap::new();
    for (name, fingerprint) in &objects.network_policies {
        let hasher = hashers.entry(Arc::clone(&name.namespace)).or_default();
        (&name.name, fingerprint).hash(hasher);
    }
    hashers
        .into_iter()
        .map(|(namespace, hasher)| (namespace, hasher.finish()))
        .collect()
}

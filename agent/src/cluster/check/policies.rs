//! Policies that hold for nobody, and those of which another one takes the place.

use std::collections::BTreeMap;

use super::{Checked, key};
use crate::{
    cluster::{
        field::Field,
        objects::{Kind, Objects, Scope},
        slices::{Backends, target_of},
    },
    model::{AuthenticationPolicy, ObjectName, ServiceTarget, Severity, Target},
};

/// What only one AuthenticationPolicy can say: a field of `spec.mtls`, of all ports or of one, for one of [`Place`].
type Claim<'a> = (Place<'a>, &'static str, Option<u16>);

/// For whom a policy says it: a whole namespace, a pod, a port of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Namespace(&'a str),
    Pod(&'a ObjectName),
    Port(&'a ObjectName, u16),
}

// === impl Checked ===

impl Checked {
    pub(super) fn policies(&mut self, objects: &Objects, backends: &Backends<'_>) {
        let system = objects.mesh_config.effective().system_namespace;
        let authentication = objects.authentication.values();
        let authorization = objects.authorization.values();
        let targets = authentication
            .map(|policy| (Kind::AuthenticationPolicy, &policy.name, &policy.target))
            .chain(authorization.map(|policy| (Kind::AuthorizationPolicy, &policy.name, &policy.target)));
        for (kind, name, target) in targets {
            match target {
                Target::All => {}
                Target::Selector(labels) => {
                    // A selector of the system namespace is about pods of every other one.
                    if objects.scope == Scope::Manifests
                        && *name.namespace != *system.as_str()
                        && backends.with_labels(&name.namespace, labels).next().is_none()
                    {
                        let field = Field::at("spec.selector");
                        self.add(Severity::Notice, key(kind, name), field, "it selects no pod".into());
                    }
                }
                Target::Services(targets) => self.target_refs(objects, kind, name, targets),
            }
        }
        self.conflicts(objects, backends);
    }

    fn target_refs(&mut self, objects: &Objects, kind: Kind, policy: &ObjectName, targets: &[ServiceTarget]) {
        for (index, target) in targets.iter().enumerate() {
            let field = Field::at("spec.targetRefs").index(index);
            let name = ObjectName::new(policy.namespace.clone(), target.service.clone());
            let Some(service) = objects.services.get(&name) else {
                let reason = format!("there is no Service {name}: it holds for nobody");
                self.add(Severity::Notice, key(kind, policy), field.key("name"), reason);
                continue;
            };
            let Some(section) = &target.section else { continue };
            if !service.service.ports.iter().any(|port| *port.name == **section) {
                let reason =
                    format!("Service {name} has no port named `{section}`: it holds for all ports of its pods");
                self.add(Severity::Error, key(kind, policy), field.key("sectionName"), reason);
            }
        }
    }

    /// Tells the younger of two policies that say one thing for one pod, once for each thing.
    fn conflicts(&mut self, objects: &Objects, backends: &Backends<'_>) {
        let mut policies: Vec<&AuthenticationPolicy> =
            objects.authentication.values().map(|policy| &**policy).collect();
        policies.sort_by(|one, other| one.age().cmp(&other.age()));
        let mut owners: BTreeMap<Claim<'_>, &ObjectName> = BTreeMap::new();
        for policy in policies {
            let mut lost: BTreeMap<(&'static str, Option<u16>), &ObjectName> = BTreeMap::new();
            for place in places(policy, objects, backends) {
                for (field, port) in said(policy) {
                    let owner = *owners.entry((place, field, port)).or_insert(&policy.name);
                    if *owner != policy.name {
                        lost.entry((field, port)).or_insert(owner);
                    }
                }
            }
            for ((field, port), owner) in lost {
                let what = match port {
                    Some(port) => format!("the {field} of port {port}"),
                    None => format!("the {field}"),
                };
                let reason =
                    format!("AuthenticationPolicy {owner} is older and decides on {what} for the pods of both");
                let key = key(Kind::AuthenticationPolicy, &policy.name);
                self.add(Severity::Notice, key, Field::at("spec.mtls"), reason);
            }
        }
    }
}

fn places<'a>(policy: &'a AuthenticationPolicy, objects: &'a Objects, backends: &Backends<'a>) -> Vec<Place<'a>> {
    let namespace = &*policy.name.namespace;
    match &policy.target {
        Target::All => vec![Place::Namespace(namespace)],
        Target::Selector(labels) => backends
            .with_labels(namespace, labels)
            .map(|(pod, _)| Place::Pod(pod))
            .collect(),
        Target::Services(targets) => targets
            .iter()
            .filter_map(|target| {
                let name = ObjectName::new(policy.name.namespace.clone(), target.service.clone());
                Some((objects.services.get(&name)?, target.section.as_deref()))
            })
            .flat_map(|(service, section)| {
                backends.selection(service).filter_map(move |(name, pod)| {
                    let Some(section) = section else {
                        return Some(Place::Pod(name));
                    };
                    let mut ports = service.service.ports.iter().zip(&service.targets);
                    let (port, target) = ports.find(|(port, _)| *port.name == *section)?;
                    Some(Place::Port(name, target_of(&pod.ports, port.transport, target)?))
                })
            })
            .collect(),
    }
}

/// The fields that a policy gives a value.
fn said(policy: &AuthenticationPolicy) -> Vec<(&'static str, Option<u16>)> {
    let mtls = &policy.mtls;
    let of_all = [
        ("mode", mtls.mode.is_some(), None),
        ("plaintextFrom", mtls.plaintext_from.is_some(), None),
    ];
    let of_ports = mtls.ports.iter().flat_map(|(number, port)| {
        [
            ("mode", port.mode.is_some(), Some(*number)),
            ("plaintextFrom", port.plaintext_from.is_some(), Some(*number)),
        ]
    });
    let all = of_all.into_iter().chain(of_ports);
    all.filter(|(_, given, _)| *given)
        .map(|(field, _, port)| (field, port))
        .collect()
}

#[cfg(test)]
mod tests;

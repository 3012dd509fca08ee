//! Which pods ought to be in the mesh, and are not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use serde::Serialize;

use super::{ReplicaFact, components::best};
use crate::{
    cluster::{
        convert,
        enrolment::decide,
        field::Findings,
        objects::{MeshLabel, Namespace as Labels},
    },
    model::{Enrolment, NotEnrolled, ObjectName},
};

/// A namespace of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceFact {
    /// Its name.
    pub name: String,
    /// Whether its label takes its pods in.
    pub enrolled: bool,
    /// How many pods it has that have not ended.
    pub pods: usize,
    /// How many of these an agent carries.
    pub protected: usize,
}

/// A pod that ought to be in the mesh, and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unprotected {
    /// `namespace/name`.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// Why.
    pub reason: Why,
}

/// Why a pod is not in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It carries `weft.dev/mesh: disabled`.
    OptedOut,
    /// It is on its node's network.
    HostNetwork,
    /// It has a kernel of its own.
    Sandboxed,
    /// It has another mesh's sidecar.
    OtherSidecar,
    /// Its node has no agent.
    NoAgent,
    /// Its node's agent is not ready.
    AgentNotReady,
}

/// What comes of looking at all pods.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) namespaces: Vec<NamespaceFact>,
    pub(super) unprotected: Vec<Unprotected>,
    /// How many enrolled pods each node has.
    pub(super) by_node: BTreeMap<String, usize>,
}

// === impl Why ===

impl Why {
    /// The reason as tables and JSON show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
            Self::HostNetwork => "host_network",
            Self::Sandboxed => "sandboxed",
            Self::OtherSidecar => "other_sidecar",
            Self::NoAgent => "no_agent",
            Self::AgentNotReady => "agent_not_ready",
        }
    }

    /// Whether somebody has said that it is to be so.
    pub fn is_meant(self) -> bool {
        match self {
            Self::OptedOut => true,
            Self::HostNetwork | Self::Sandboxed | Self::OtherSidecar | Self::NoAgent | Self::AgentNotReady => false,
        }
    }
}

/// Looks at all pods that a node has. What does not decode is left out: `weft validate` tells of it.
pub(super) fn sort(namespaces: Vec<Namespace>, pods: &[Pod], agents: &BTreeMap<String, Vec<ReplicaFact>>) -> Sorted {
    let labels: BTreeMap<String, Labels> = namespaces
        .into_iter()
        .filter_map(|namespace| {
            let name = namespace.metadata.name.clone()?;
            Some((name, convert::namespace(namespace, &mut Findings::default())?))
        })
        .collect();
    let mut sorted = Sorted::default();
    let mut facts: BTreeMap<String, NamespaceFact> = BTreeMap::new();
    for (name, labels) in &labels {
        if labels.enrols == Some(MeshLabel::Enabled) {
            facts.insert(name.clone(), fact(name, true));
        }
    }
    for pod in pods {
        let (Some(name), Some(namespace)) = (&pod.metadata.name, &pod.metadata.namespace) else {
            continue;
        };
        let name = ObjectName::new(namespace.as_str(), name.as_str());
        let Some(converted) = convert::pod(pod.clone(), &name, &mut Findings::default()) else {
            continue;
        };
        let Some(node) = converted.node.as_deref() else {
            continue;
        };
        let enrolment = decide(&converted, labels.get(namespace));
        if enrolment == Enrolment::Out(NotEnrolled::Ended) {
            continue;
        }
        // Beside a single enrolled pod the others of its namespace are nobody's concern.
        let meant = enrolment == Enrolment::Enrolled || facts.get(namespace).is_some_and(|fact| fact.enrolled);
        if !meant {
            continue;
        }
        let fact = facts.entry(namespace.clone()).or_insert_with(|| fact(namespace, false));
        fact.pods += 1;
        match why(enrolment, agents.get(node)) {
            None => fact.protected += 1,
            Some(reason) => sorted.unprotected.push(Unprotected {
                pod: name.to_string(),
                node: node.to_owned(),
                reason,
            }),
        }
        if enrolment == Enrolment::Enrolled {
            *sorted.by_node.entry(node.to_owned()).or_default() += 1;
        }
    }
    sorted.namespaces = facts.into_values().collect();
    sorted.unprotected.sort_by(|one, other| one.pod.cmp(&other.pod));
    sorted
}

fn fact(name: &str, enrolled: bool) -> NamespaceFact {
    NamespaceFact {
        name: name.to_owned(),
        enrolled,
        pods: 0,
        protected: 0,
    }
}

fn why(enrolment: Enrolment, agents: Option<&Vec<ReplicaFact>>) -> Option<Why> {
    match enrolment {
        Enrolment::Enrolled => match best(agents) {
            None => Some(Why::NoAgent),
            Some(agent) => (!agent.ready).then_some(Why::AgentNotReady),
        },
        Enrolment::Out(NotEnrolled::NoLabel | NotEnrolled::OptedOut) => Some(Why::OptedOut),
        Enrolment::Out(NotEnrolled::HostNetwork) => Some(Why::HostNetwork),
        Enrolment::Out(NotEnrolled::Sandboxed) => Some(Why::Sandboxed),
        Enrolment::Out(NotEnrolled::OtherSidecar) => Some(Why::OtherSidecar),
        Enrolment::Out(NotEnrolled::Ended) => None,
    }
}

#[cfg(test)]
mod tests;

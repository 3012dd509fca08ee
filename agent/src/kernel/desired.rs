//! What the mesh wants of the kernel, what is there, and what is to be done about the difference: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{PodFlags, SocketAddress};

use super::Departure;
use crate::model::{Mesh, OnAgentFailure, Pod, PodUid};

/// What the mesh wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Desired {
    /// The pods to be captured.
    pub(super) pods: BTreeMap<PodUid, Arc<Pod>>,
    /// The node's other pods.
    pub(super) others: BTreeMap<PodUid, Arc<Pod>>,
    /// Addresses that are not captured.
    pub(super) exempt: BTreeSet<SocketAddress>,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Current {
    pub(super) pods: BTreeMap<PodUid, Known>,
    pub(super) exempt: BTreeSet<SocketAddress>,
}

/// A pod of which something is in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its pins were found, of an agent before this one; nobody listens.
    Pinned,
    /// This agent serves it, by these terms.
    Captured(Terms),
}

/// What the kernel programs are to know of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) flags: PodFlags,
    pub(super) probe_ports: Vec<u16>,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) exempt: Vec<SocketAddress>,
    pub(super) unexempt: Vec<SocketAddress>,
    pub(super) release: Vec<(PodUid, Departure)>,
    pub(super) adjust: Vec<(PodUid, Terms)>,
    pub(super) capture: Vec<Arc<Pod>>,
}

// === impl Desired ===

impl Desired {
    /// Reads out of the mesh what concerns the kernel.
    pub(super) fn of(mesh: &Mesh) -> Self {
        let (pods, others) = mesh
            .pods
            .iter()
            .map(|(uid, pod)| (uid.clone(), Arc::clone(pod)))
            .partition(|(_, pod)| pod.enrolled());
        Self {
            pods,
            others,
            exempt: mesh.exemptions.iter().map(|exemption| exemption.0.into()).collect(),
        }
    }

    /// What separates it from what is there.
    pub(super) fn diff(&self, current: &Current) -> Plan {
        let terms_changed = |(uid, known): (&PodUid, &Known)| match known {
            Known::Pinned => None,
            Known::Captured(terms) => {
                let wanted = Terms::of(self.pods.get(uid)?);
                (wanted != *terms).then(|| (uid.clone(), wanted))
            }
        };
        Plan {
            exempt: self.exempt.difference(&current.exempt).copied().collect(),
            unexempt: current.exempt.difference(&self.exempt).copied().collect(),
            release: current
                .pods
                .keys()
                .filter(|uid| !self.pods.contains_key(uid))
                .map(|uid| (uid.clone(), self.departure(uid)))
                .collect(),
            adjust: current.pods.iter().filter_map(terms_changed).collect(),
            capture: self
                .pods
                .iter()
                .filter(|(uid, _)| !matches!(current.pods.get(uid), Some(Known::Captured(_))))
                .map(|(_, pod)| Arc::clone(pod))
                .collect(),
        }
    }

    fn departure(&self, uid: &PodUid) -> Departure {
        if self.others.contains_key(uid) {
            Departure::Left
        } else {
            Departure::Gone
        }
    }
}

// === impl Terms ===

impl Terms {
    /// Reads them from a pod.
    pub(super) fn of(pod: &Pod) -> Self {
        Self {
            flags: match pod.on_agent_failure {
                OnAgentFailure::Open => PodFlags::FAIL_OPEN,
                OnAgentFailure::Closed => PodFlags::FAIL_CLOSED,
            },
            probe_ports: pod.probe_ports.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

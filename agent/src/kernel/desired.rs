//! What the mesh wants of the kernel, what is there, and what is to be done about the difference: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_common::{PodFlags, SocketAddress};
use ipnet::IpNet;

use super::Departure;
use crate::model::{Mesh, MeshConfig, OnAgentFailure, Pod, PodUid};

/// What the mesh wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Desired {
    /// The pods to be captured.
    pub(super) pods: BTreeMap<PodUid, Arc<Pod>>,
    /// The node's other pods.
    pub(super) others: BTreeMap<PodUid, Arc<Pod>>,
    /// Addresses that are not captured.
    pub(super) exempt: BTreeSet<SocketAddress>,
    /// Whether UDP may leave the cluster.
    pub(super) udp_egress: UdpEgress,
    /// What the cluster is to UDP that must not leave it; empty where it may.
    pub(super) inside: BTreeSet<IpNet>,
}

/// Whether UDP may leave the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum UdpEgress {
    /// It passes untouched.
    #[default]
    Allow,
    /// It is refused.
    Deny,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Current {
    pub(super) pods: BTreeMap<PodUid, Known>,
    pub(super) exempt: BTreeSet<SocketAddress>,
    pub(super) inside: BTreeSet<IpNet>,
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

/// What is to be done, in this order: no pod's UDP is refused before it is known what is inside, nor after it is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) exempt: Vec<SocketAddress>,
    pub(super) unexempt: Vec<SocketAddress>,
    pub(super) include: Vec<IpNet>,
    pub(super) release: Vec<(PodUid, Departure)>,
    pub(super) adjust: Vec<(PodUid, Terms)>,
    pub(super) capture: Vec<Arc<Pod>>,
    pub(super) exclude: Vec<IpNet>,
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
        let udp_egress = UdpEgress::of(&mesh.config);
        Self {
            pods,
            others,
            exempt: mesh.exemptions.iter().map(|exemption| exemption.0.into()).collect(),
            udp_egress,
            inside: match udp_egress {
                UdpEgress::Allow => BTreeSet::new(),
                UdpEgress::Deny => inside(mesh),
            },
        }
    }

    /// What separates it from what is there.
    pub(super) fn diff(&self, current: &Current) -> Plan {
        let terms_changed = |(uid, known): (&PodUid, &Known)| match known {
            Known::Pinned => None,
            Known::Captured(terms) => {
                let wanted = Terms::of(self.pods.get(uid)?, self.udp_egress);
                (wanted != *terms).then(|| (uid.clone(), wanted))
            }
        };
        Plan {
            exempt: self.exempt.difference(&current.exempt).copied().collect(),
            unexempt: current.exempt.difference(&self.exempt).copied().collect(),
            include: self.inside.difference(&current.inside).copied().collect(),
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
            exclude: current.inside.difference(&self.inside).copied().collect(),
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

// === impl UdpEgress ===

impl UdpEgress {
    fn of(config: &MeshConfig) -> Self {
        if config.deny_udp_egress {
            Self::Deny
        } else {
            Self::Allow
        }
    }
}

// === impl Terms ===

impl Terms {
    /// Reads them from a pod and what the mesh says of all pods.
    pub(super) fn of(pod: &Pod, udp_egress: UdpEgress) -> Self {
        let flags = match pod.on_agent_failure {
            OnAgentFailure::Open => PodFlags::FAIL_OPEN,
            OnAgentFailure::Closed => PodFlags::FAIL_CLOSED,
        };
        Self {
            flags: match udp_egress {
                UdpEgress::Allow => flags,
                UdpEgress::Deny => flags.with_udp_egress_denied(),
            },
            probe_ports: pod.probe_ports.clone(),
        }
    }
}

/// The pods' ranges, and each address of a service, an endpoint or a pod of this node that lies in none of them.
fn inside(mesh: &Mesh) -> BTreeSet<IpNet> {
    let ranges = mesh.config.pod_cidrs.iter().map(IpNet::trunc);
    let services = mesh.services.values().flat_map(|service| {
        let endpoints = service.ports.iter().flat_map(|port| &port.endpoints);
        let endpoints = endpoints.map(|endpoint| endpoint.address.ip());
        service.cluster_ips.iter().copied().chain(endpoints)
    });
    let pods = mesh.pods.values().flat_map(|pod| pod.ips.iter().copied());
    let single = services.chain(pods).filter(|ip| !mesh.config.pod_cidrs.contains(*ip));
    ranges.chain(single.map(IpNet::from)).collect()
}

#[cfg(test)]
mod tests;

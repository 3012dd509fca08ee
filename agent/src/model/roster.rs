//! All pods of the cluster, as far as a CA must know them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{Enrolment, ObjectName, PodUid};

/// All pods of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The pods.
    pub pods: BTreeMap<PodUid, RosterPod>,
    /// The ranges of pods' addresses of each node, where they are set.
    pub pod_cidrs: BTreeMap<Arc<str>, Vec<IpNet>>,
}

/// A pod of any node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterPod {
    /// Namespace and name.
    pub name: ObjectName,
    /// The service account's name.
    pub service_account: Arc<str>,
    /// The node that it runs on.
    pub node: Option<Arc<str>>,
    /// `status.podIPs`.
    pub ips: Vec<IpAddr>,
    /// Whether it is in the mesh, and else why not.
    pub enrolment: Enrolment,
}

// === impl RosterPod ===

impl RosterPod {
    /// Whether its addresses are its own: not the node's, and not left behind by its end.
    pub fn has_own_network(&self) -> bool {
        match self.enrolment {
            Enrolment::Enrolled => true,
            Enrolment::Out(reason) => reason.has_own_network(),
        }
    }
}

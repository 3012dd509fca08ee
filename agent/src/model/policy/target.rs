//! For which pods, and which of their ports, a policy holds.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::super::ObjectName;

/// The pods that a policy holds for: `targetRefs`, `selector`, or neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// All pods of its namespace; of the whole mesh where that is the system namespace.
    All,
    /// The pods with all of these labels, of its namespace or of the whole mesh likewise.
    Selector(BTreeMap<String, String>),
    /// The pods behind Services of its own namespace.
    Services(Vec<ServiceTarget>),
}

/// One `targetRefs` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceTarget {
    /// The Service's name.
    pub service: Arc<str>,
    /// `sectionName`: the name of one port of the Service; all ports of its pods without it.
    pub section: Option<Arc<str>>,
}

/// That a Service leads to a pod, and to which ports of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The Service.
    pub service: ObjectName,
    /// The name of each of the Service's TCP ports, with a port of the pod behind it; none where the pod has no such port.
    pub ports: Vec<(Arc<str>, Option<u16>)>,
}

/// Ports of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// All.
    All,
    /// These, in ascending order.
    Only(Arc<[u16]>),
}

// === impl Target ===

impl Target {
    /// The ports of a pod that this holds for, none where it does not hold for the pod at all.
    pub(super) fn ports(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        memberships: &[Membership],
    ) -> Option<Ports> {
        match self {
            Self::All => Some(Ports::All),
            Self::Selector(wanted) => carries(labels, wanted).then_some(Ports::All),
            Self::Services(targets) => targets
                .iter()
                .flat_map(|target| {
                    let reached = memberships.iter().filter(|membership| {
                        *membership.service.namespace == *namespace && membership.service.name == target.service
                    });
                    reached.filter_map(|membership| membership.section(target.section.as_deref()))
                })
                .reduce(Ports::union),
        }
    }
}

// === impl Membership ===

impl Membership {
    /// The pod's ports behind one port of the Service, none where the pod has not that port.
    ///
    /// A name that the Service has not may be misspelt: it means all ports, so that what should be closed is.
    fn section(&self, name: Option<&str>) -> Option<Ports> {
        let Some(name) = name else { return Some(Ports::All) };
        let mut named = self.ports.iter().filter(|(port, _)| **port == *name).peekable();
        if named.peek().is_none() {
            return Some(Ports::All);
        }
        let numbers = named.filter_map(|(_, number)| *number);
        numbers.map(|number| Ports::Only([number].into())).reduce(Ports::union)
    }
}

// === impl Ports ===

impl Ports {
    /// Whether a port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Only(ports) => ports.binary_search(&port).is_ok(),
        }
    }

    pub(super) fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(these), Self::Only(those)) => {
                let mut ports: Vec<u16> = these.iter().chain(&*those).copied().collect();
                ports.sort_unstable();
                ports.dedup();
                Self::Only(ports.into())
            }
            (Self::All, _) | (_, Self::All) => Self::All,
        }
    }
}

/// Whether labels hold all that are wanted.
pub(super) fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

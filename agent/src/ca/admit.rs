//! Whether an agent may have the certificate that it asks for.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    model::{Enrolment, NotEnrolled, ObjectName, Roster, RosterPod},
    tls::{Denial, issue::Ask},
};

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is no such pod")]
    NoSuchPod,
    #[error("the pod of this UID is {0}")]
    OtherName(ObjectName),
    #[error("the pod is not on this node")]
    OtherNode,
    #[error("the pod's service account is {0}")]
    OtherServiceAccount(Arc<str>),
    #[error("the pod is not in the mesh: {}", .0.label())]
    NotEnrolled(NotEnrolled),
    #[error("the deny-list has {0}")]
    Denied(Denial),
}

/// Judges what the agent of `node` asks for, and gives the addresses that the certificate may name.
///
/// An address is named only if it is the pod's, no other live pod's, and of the node's range where that is known. Others
/// are left out: a pod must not wait for its certificate because of them.
pub(super) fn admit(roster: &Roster, node: &str, ask: &Ask) -> Result<Vec<IpAddr>, Refusal> {
    let pod = roster.pods.get(&ask.uid).ok_or(Refusal::NoSuchPod)?;
    // Which pods other nodes have is none of this one's business.
    if pod.node.as_deref() != Some(node) {
        return Err(Refusal::OtherNode);
    }
    if pod.name != ask.pod {
        return Err(Refusal::OtherName(pod.name.clone()));
    }
    if pod.service_account != ask.service_account {
        return Err(Refusal::OtherServiceAccount(Arc::clone(&pod.service_account)));
    }
    match pod.enrolment {
        Enrolment::Enrolled => {}
        Enrolment::Out(reason) => return Err(Refusal::NotEnrolled(reason)),
    }
    let is_own = |ip: &IpAddr| is_pods_alone(roster, pod, *ip) && is_of_node(roster, node, *ip);
    Ok(ask.ips.iter().map(IpAddr::to_canonical).filter(is_own).collect())
}

/// Whether the roster may only not have heard yet what the agent of `node` has: news of a pod come to each by a way of its
/// own, and the agent's is the shorter one.
pub(super) fn may_be_behind(roster: &Roster, node: &str, ask: &Ask) -> bool {
    let Some(pod) = roster.pods.get(&ask.uid) else {
        return true;
    };
    match admit(roster, node, ask) {
        Ok(named) => {
            let mut asked = ask.ips.iter().map(IpAddr::to_canonical);
            asked.any(|ip| is_of_node(roster, node, ip) && !named.contains(&ip))
        }
        // It was there before it was given to a node.
        Err(Refusal::OtherNode) => pod.node.is_none(),
        Err(Refusal::NotEnrolled(reason)) => reason == NotEnrolled::NoLabel,
        Err(Refusal::NoSuchPod | Refusal::OtherName(_) | Refusal::OtherServiceAccount(_) | Refusal::Denied(_)) => false,
    }
}

/// Whether the address is the pod's, and no other live pod's.
fn is_pods_alone(roster: &Roster, pod: &RosterPod, ip: IpAddr) -> bool {
    let mut others = roster
        .pods
        .values()
        .filter(|other| other.name != pod.name && other.has_own_network());
    pod.ips.contains(&ip) && !others.any(|other| other.ips.contains(&ip))
}

/// Whether the address is of the node's ranges, where these are known.
fn is_of_node(roster: &Roster, node: &str, ip: IpAddr) -> bool {
    let ranges = roster.pod_cidrs.get(node).map_or(&[][..], Vec::as_slice);
    ranges.is_empty() || ranges.iter().any(|range| range.contains(&ip))
}

/// How long an agent that knows more than the roster waits for it. News are there in a few milliseconds; the roster takes
/// several changes as one.
pub(super) const BEHIND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;

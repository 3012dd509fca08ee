//! Whether an agent may have the certificate that it asks for.

use std::{net::IpAddr, sync::Arc};

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
    let is_own = |ip: &IpAddr| may_name(roster, node, pod, *ip);
    Ok(ask.ips.iter().map(IpAddr::to_canonical).filter(is_own).collect())
}

fn may_name(roster: &Roster, node: &str, pod: &RosterPod, ip: IpAddr) -> bool {
    let mut others = roster
        .pods
        .values()
        .filter(|other| other.name != pod.name && other.has_own_network());
    let ranges = roster.pod_cidrs.get(node).map_or(&[][..], Vec::as_slice);
    pod.ips.contains(&ip)
        && !others.any(|other| other.ips.contains(&ip))
        && (ranges.is_empty() || ranges.iter().any(|range| range.contains(&ip)))
}

#[cfg(test)]
mod tests;

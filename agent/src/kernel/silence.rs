//! Keeps the kernel from refusing connections that are to wait for the agent.
//!
//! A captured SYN that finds no listener is answered by RST. Of IPv4 the RST finds no route, since its source is no
//! address of the pod; of IPv6 nobody looks at the source (`tcp_v6_send_response`, 6.18), and only a policy can hold it
//! back. It carries the mark of the SYN (`fwmark_reflect`), which nothing else bears that the pod sends to itself but
//! its own connections from one of its addresses to another.

use std::{collections::BTreeSet, net::IpAddr};

use agent_common::{
    PodFlags,
    mark::{CAPTURED, OURS},
};

use super::{Drift, desired::Terms};
use crate::net::{NetError, NetNs, SendPolicy, SendVerdict};

/// Makes a namespace with these addresses refuse or not, as the terms of its pod say.
pub(super) fn apply(netns: &NetNs, own: &[IpAddr], terms: &Terms) -> Result<(), NetError> {
    let wanted = wanted(own, terms.flags);
    let present = BTreeSet::from_iter(SendPolicy::list(netns, CAPTURED, MASK)?);
    // What passes is added first and deleted last, so that the pod's own connections pass at each moment.
    wanted.difference(&present).try_for_each(|policy| policy.add(netns))?;
    let superfluous: Vec<_> = present.difference(&wanted).collect();
    superfluous.iter().rev().try_for_each(|policy| policy.delete(netns))
}

/// Tells where a namespace with these addresses differs from what it should be.
pub(super) fn drift(netns: &NetNs, own: &[IpAddr], flags: PodFlags) -> Result<Vec<Drift>, NetError> {
    let wanted = wanted(own, flags);
    let present = BTreeSet::from_iter(SendPolicy::list(netns, CAPTURED, MASK)?);
    let missing = wanted.difference(&present).copied().map(Drift::MissingPolicy);
    let foreign = present.difference(&wanted).copied().map(Drift::ForeignPolicy);
    Ok(missing.chain(foreign).collect())
}

/// Removes all of it.
pub(super) fn remove(netns: &NetNs) -> Result<(), NetError> {
    apply(netns, &[], &Terms::default())
}

/// What should be there: who fails open is refused as everybody is.
fn wanted(own: &[IpAddr], flags: PodFlags) -> BTreeSet<SendPolicy> {
    if flags.fail_closed() {
        policies(own)
    } else {
        BTreeSet::new()
    }
}

/// One for each address which silences, and before them one for each pair that passes.
fn policies(own: &[IpAddr]) -> BTreeSet<SendPolicy> {
    let own = || {
        own.iter().filter_map(|ip| match ip {
            // Nothing is captured that goes to the others.
            IpAddr::V6(ip) if !ip.is_loopback() && !ip.is_unicast_link_local() => Some(*ip),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        })
    };
    let policy = |verdict, source, destination| SendPolicy {
        verdict,
        source,
        destination,
        mark: CAPTURED,
        mask: MASK,
    };
    let pairs = own().flat_map(|source| own().map(move |destination| (source, destination)));
    pairs
        .map(|(source, destination)| policy(SendVerdict::Pass, Some(source), destination))
        .chain(own().map(|destination| policy(SendVerdict::Silence, None, destination)))
        .collect()
}

/// The agent's own sockets in the namespace carry both bits.
const MASK: u32 = CAPTURED | OURS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_says_to_itself_passes_and_refusals_do_not() {
        let own: Vec<IpAddr> = ["127.0.0.1", "10.0.0.4", "::1", "fe80::4", "2001:db8::4"]
            .map(|ip| ip.parse().unwrap())
            .into();
        let ip = "2001:db8::4".parse().unwrap();
        let found: Vec<_> = policies(&own)
            .into_iter()
            .map(|policy| (policy.verdict, policy.source, policy.destination))
            .collect();
        assert_eq!(
            found,
            [(SendVerdict::Pass, Some(ip), ip), (SendVerdict::Silence, None, ip)]
        );
    }
}

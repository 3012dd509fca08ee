//! Who gets a connection in a pod's namespace: the application, or one of the agent's listeners.

use agent_common::{Count, Slot, Tuple};
use aya_log_ebpf::debug;

use crate::{
    ctx::{Lookup, Transport},
    maps::{self, Record},
};

/// What becomes of a packet that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To the socket that was assigned, else to the application.
    Pass,
    /// To nobody. The kernel answers with RST where it has a route back from an own address (`tcp_v4_send_reset`, 6.18):
    /// an inbound connection is refused, a captured outbound one is sent again until somebody listens.
    Drop,
}

/// What was decided, and what is to be counted.
enum Outcome {
    /// None of the mesh's business.
    Untouched,
    /// To the socket that was assigned, else to the application.
    Passed(Count),
    /// To nobody.
    Refused(Count),
}

/// What a packet is to the pod, by its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the pod to itself.
    Inside,
    /// From elsewhere to the pod.
    Inbound,
    /// From the pod to elsewhere, captured.
    Outbound,
    /// Neither end is the pod's.
    Stray,
}

/// Decides about one packet and assigns the listener.
#[inline(always)]
pub(crate) fn lookup(packet: &Lookup<'_>) -> Verdict {
    let tuple = packet.tuple();
    let outcome = match packet.transport() {
        Transport::Tcp => tcp(packet, &tuple),
        Transport::Udp => udp(packet, &tuple),
    };
    match outcome {
        Outcome::Untouched => Verdict::Pass,
        Outcome::Passed(reason) => {
            debug!(packet, "port {} passes: reason {}", packet.local_port(), reason.index());
            maps::count(reason);
            Verdict::Pass
        }
        Outcome::Refused(reason) => {
            debug!(
                packet,
                "port {} is refused: reason {}",
                packet.local_port(),
                reason.index()
            );
            maps::refuse(reason, maps::settings().cookie(), tuple);
            Verdict::Drop
        }
    }
}

#[inline(always)]
fn tcp(packet: &Lookup<'_>, tuple: &Tuple) -> Outcome {
    match way(maps::own(tuple.source()), maps::own(tuple.destination())) {
        _ if tuple.destination().is_loopback() => Outcome::Untouched,
        Way::Inside => Outcome::Untouched,
        Way::Inbound => inbound(packet, tuple),
        Way::Outbound => outbound(packet),
        Way::Stray => Outcome::Refused(Count::Stray),
    }
}

/// Datagrams pass, but for questions of the pod to a resolver elsewhere where the agent answers them.
#[inline(always)]
fn udp(packet: &Lookup<'_>, tuple: &Tuple) -> Outcome {
    let asks =
        packet.local_port() == DNS && way(maps::own(tuple.source()), maps::own(tuple.destination())) == Way::Outbound;
    if asks && maps::assign(packet, by_family(packet, Slot::DnsV4, Slot::DnsV6)).is_ok() {
        Outcome::Passed(Count::Dns)
    } else {
        Outcome::Untouched
    }
}

#[inline(always)]
fn inbound(packet: &Lookup<'_>, tuple: &Tuple) -> Outcome {
    let settings = maps::settings();
    if Record::LEGS.contains(tuple, settings.cookie()) {
        return Outcome::Passed(Count::LegPassed);
    }
    let from_kubelet = |host| Record::PROBES.take(tuple, host);
    if settings.probes(tuple.destination_port()) && maps::host_cookie().is_some_and(from_kubelet) {
        return Outcome::Passed(Count::ProbePassed);
    }
    match maps::assign(packet, by_family(packet, Slot::InboundV4, Slot::InboundV6)) {
        Ok(()) => Outcome::Passed(Count::Inbound),
        Err(ENOENT) if settings.flags().fail_closed() => Outcome::Refused(Count::InboundNoListener),
        Err(ENOENT) => Outcome::Passed(Count::InboundUnguarded),
        Err(_) => Outcome::Refused(Count::AssignFailed),
    }
}

/// Without a listener this drops whatever the pod chose: a pass would give the connection to the pod's own `::` listener.
#[inline(always)]
fn outbound(packet: &Lookup<'_>) -> Outcome {
    match maps::assign(packet, by_family(packet, Slot::OutboundV4, Slot::OutboundV6)) {
        Ok(()) => Outcome::Passed(Count::Outbound),
        Err(ENOENT) => Outcome::Refused(Count::OutboundNoListener),
        Err(_) => Outcome::Refused(Count::AssignFailed),
    }
}

/// A listener of one family cannot be assigned to a packet of the other (`bpf_sk_lookup_assign`, 6.18).
#[inline(always)]
fn by_family(packet: &Lookup<'_>, v4: Slot, v6: Slot) -> Slot {
    if packet.is_v4() { v4 } else { v6 }
}

#[inline(always)]
fn way(from_own: bool, to_own: bool) -> Way {
    match (from_own, to_own) {
        (true, true) => Way::Inside,
        (false, true) => Way::Inbound,
        (true, false) => Way::Outbound,
        (false, false) => Way::Stray,
    }
}

const DNS: u16 = 53;
const ENOENT: i32 = -2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_belongs_to_one_way_by_its_two_ends() {
        assert_eq!(way(true, true), Way::Inside);
        assert_eq!(way(false, true), Way::Inbound);
        assert_eq!(way(true, false), Way::Outbound);
        assert_eq!(way(false, false), Way::Stray);
    }
}

//! What sockets do that are none of a pod's: the agent's own greet and are recorded, and the kubelet's probes are recorded.
//!
//! What is recorded are the 4-tuples that a pod's program must let through.

use agent_common::{
    Count,
    mark::{CAPTURED, OURS},
};
use aya_log_ebpf::debug;

use crate::{
    ctx::{Event, Socket},
    hello,
    maps::{self, Record},
};

/// Follows a socket of the agent.
#[inline(always)]
pub(crate) fn follow(socket: &Socket<'_>) {
    match socket.event() {
        Event::Connects => {
            record_leg(socket);
            hello::connects(socket);
        }
        Event::Listens => hello::listens(socket),
        Event::Measures => hello::has_room(socket),
        Event::Writes => hello::writes(socket),
        Event::Connected => hello::connected(socket),
        Event::Accepted => hello::accepted(socket),
        Event::Other => {}
    }
}

/// Records a connection of the agent to an application of an enrolled pod.
#[inline(always)]
fn record_leg(socket: &Socket<'_>) {
    if !socket.mark().is_some_and(is_leg) {
        return;
    }
    let Some(cookie) = socket.netns_cookie().filter(|cookie| maps::pod(*cookie).is_some()) else {
        return;
    };
    debug!(socket, "leg to port {}", socket.tuple().destination_port());
    record(&Record::LEGS, socket, cookie, Count::LegRecorded, Count::LegLost);
}

/// Records a connection of the kubelet. Only from the host's own namespace: what else shares the cgroup is no kubelet.
#[inline(always)]
pub(crate) fn record_probe(socket: &Socket<'_>) {
    if socket.event() != Event::Connects {
        return;
    }
    let Some(cookie) = socket
        .netns_cookie()
        .filter(|cookie| maps::host_cookie() == Some(*cookie))
    else {
        return;
    };
    debug!(socket, "probe of port {}", socket.tuple().destination_port());
    record(&Record::PROBES, socket, cookie, Count::ProbeRecorded, Count::ProbeLost);
}

#[inline(always)]
fn record(record: &Record, socket: &Socket<'_>, cookie: u64, recorded: Count, lost: Count) {
    maps::count(match record.insert(&socket.tuple(), cookie) {
        Ok(()) => recorded,
        Err(_) => lost,
    });
}

/// Whether the mark is that of the agent's sockets towards applications.
#[inline(always)]
fn is_leg(mark: u32) -> bool {
    mark & (OURS | CAPTURED) == OURS | CAPTURED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_carries_both_bits() {
        assert!(is_leg(OURS | CAPTURED));
        assert!(is_leg(OURS | CAPTURED | 0x42));
        assert!(!is_leg(OURS));
        assert!(!is_leg(CAPTURED));
        assert!(!is_leg(0));
    }
}

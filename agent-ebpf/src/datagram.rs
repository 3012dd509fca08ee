//! Which datagrams of pods are refused: those that leave the cluster, where the mesh says so.

use agent_common::{Count, PodFlags, SocketAddress, mark::OURS};

use crate::{connect::Verdict, ctx::Connect, maps};

/// Refuses to connect a datagram socket, or to send from one that is not connected, out of the cluster.
///
/// The heartbeat is not asked: who forbids datagrams forbids them while the agent is away, too.
#[inline(always)]
pub(crate) fn send(socket: &Connect<'_>) -> Verdict {
    // At the cgroup's root the agent's own sockets pass here as well.
    if !socket.is_datagram() || socket.mark() & OURS != 0 {
        return Verdict::Proceed;
    }
    let cookie = socket.netns_cookie();
    let Some(flags) = maps::pod(cookie).filter(|flags| flags.denies_udp_egress()) else {
        return Verdict::Proceed;
    };
    if stays(socket.destination(), flags) {
        return Verdict::Proceed;
    }
    maps::refuse(Count::UdpEgressDenied, cookie, socket.tuple());
    Verdict::Refuse
}

/// Whether a datagram stays in the cluster. Questions to a resolver that come to the agent are the agent's to send.
#[inline(always)]
fn stays(destination: SocketAddress, flags: PodFlags) -> bool {
    (flags.captures_dns() && destination.port() == DNS)
        || maps::never_captured(destination.address())
        || maps::inside(destination.address())
}

/// The port of DNS as it lies in memory in network order.
const DNS: u16 = 53_u16.to_be();

//! Which connections of pods are captured. Nothing is rewritten: the mark leads the SYN to the pod's own listeners. What
//! load balancers of others rewrite is put back.

use agent_common::{
    Count, PodFlags, SocketAddress,
    mark::{CAPTURED, OURS},
};
use aya_log_ebpf::debug;

use crate::{ctx::Connect, datagram, maps};

/// What becomes of a connect() or a sendmsg().
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    Refuse,
}

/// Marks the socket when its connection is to be captured; sockets of datagrams are never marked.
#[inline(always)]
pub(crate) fn connect(socket: &Connect<'_>) -> Verdict {
    if !socket.is_stream() {
        return datagram::send(socket);
    }
    let mark = socket.mark();
    // At the cgroup's root the agent's own sockets pass here as well.
    if mark & OURS != 0 {
        return Verdict::Proceed;
    }
    let Some(flags) = maps::pod(socket.netns_cookie()) else {
        return Verdict::Proceed;
    };
    let reason = reason(socket, flags);
    let wanted = marked(mark, reason);
    if wanted == mark || socket.set_mark(wanted).is_ok() {
        debug!(
            socket,
            "connect to {:i}: reason {}",
            socket.destination().address().octets(),
            reason.index()
        );
        maps::count(reason);
        if matches!(reason, Count::Marked) && maps::has_balancers() {
            // Where there is no room the address is lost, as it is without this.
            let _ = maps::want(socket.cookie(), socket.destination());
        }
        return Verdict::Proceed;
    }
    let (count, verdict) = unmarkable(flags);
    maps::count(count);
    verdict
}

/// Puts back where the socket wants to connect to, if somebody has changed it after [`connect`].
#[inline(always)]
pub(crate) fn keep(socket: &Connect<'_>, put_back: impl FnOnce(SocketAddress)) {
    if !socket.is_stream() || socket.mark() & (OURS | CAPTURED) != CAPTURED {
        return;
    }
    let Some(wanted) = maps::wanted(socket.cookie()) else {
        return;
    };
    if wanted != socket.destination() {
        put_back(wanted);
        maps::count(Count::Kept);
    }
}

/// Writes down in which namespace a socket is of which sockops programs before Linux 5.15 cannot ask: the agent's own, and
/// those of the host, of which the kubelet's are some. The agent reads it, too, of a socket that connects for that alone.
#[inline(always)]
pub(crate) fn learn(socket: &Connect<'_>) {
    let cookie = socket.netns_cookie();
    if socket.mark() & OURS != 0 || maps::host_cookie() == Some(cookie) {
        // Where there is no room the socket is taken for a stranger's.
        let _ = maps::own_socket(socket.cookie(), cookie);
    }
}

/// Why the connection is captured, or let go. Failing open is decided here and nowhere else.
#[inline(always)]
fn reason(socket: &Connect<'_>, flags: PodFlags) -> Count {
    let destination = socket.destination();
    if maps::never_captured(destination.address()) {
        Count::NeverCaptured
    } else if maps::exempt(destination) {
        Count::Exempt
    } else if flags.passes() {
        Count::AgentAway
    } else if flags.fail_closed() || maps::agent_lives() {
        Count::Marked
    } else {
        Count::AgentAway
    }
}

/// The mark that the socket must have: a socket may connect again, elsewhere, and be let go this time.
#[inline(always)]
fn marked(mark: u32, reason: Count) -> u32 {
    if matches!(reason, Count::Marked) {
        mark | CAPTURED
    } else {
        mark & !CAPTURED
    }
}

/// What becomes of a socket whose mark cannot be set.
#[inline(always)]
fn unmarkable(flags: PodFlags) -> (Count, Verdict) {
    if flags.fail_closed() {
        (Count::MarkRefused, Verdict::Refuse)
    } else {
        (Count::MarkFailed, Verdict::Proceed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_socket_keeps_the_bits_of_others() {
        assert_eq!(marked(0x42, Count::Marked), 0x42 | CAPTURED);
    }

    #[test]
    fn a_socket_that_is_let_go_loses_the_mark_of_its_last_connection() {
        assert_eq!(marked(0x42 | CAPTURED, Count::AgentAway), 0x42);
        assert_eq!(marked(0x42, Count::Exempt), 0x42);
    }

    #[test]
    fn a_socket_that_cannot_be_marked_follows_the_pods_choice() {
        assert_eq!(unmarkable(PodFlags::FAIL_OPEN), (Count::MarkFailed, Verdict::Proceed));
        assert_eq!(unmarkable(PodFlags::FAIL_CLOSED), (Count::MarkRefused, Verdict::Refuse));
    }
}

//! The context of the sockops programs.

use agent_common::Tuple;
use aya_ebpf::{EbpfContext as _, bindings::bpf_sock_ops, helpers::bpf_get_netns_cookie, programs::SockOpsContext};

use super::{address, field};

/// A TCP socket at one of its events.
pub(crate) struct Socket<'a> {
    context: &'a SockOpsContext,
    raw: &'a bpf_sock_ops,
}

// === impl Socket ===

impl<'a> Socket<'a> {
    /// Wraps the context.
    #[inline(always)]
    pub(crate) fn new(context: &'a SockOpsContext) -> Self {
        // SAFETY: the kernel hands a valid context for the time of the call, which the borrow does not outlive.
        let raw = unsafe { &*context.ops };
        Self { context, raw }
    }

    /// Whether the socket is about to send its SYN: both ends are set, nothing is sent (`tcp_connect`, 6.18).
    #[inline(always)]
    pub(crate) fn connects(&self) -> bool {
        field(&self.raw.op) == TCP_CONNECT_CB
    }

    /// The cookie of the socket's network namespace.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper takes this program type's own context.
        unsafe { bpf_get_netns_cookie(self.context.as_ptr()) }
    }

    /// The socket's mark; none where there is no full socket.
    #[inline(always)]
    pub(crate) fn mark(&self) -> Option<u32> {
        // SAFETY: the union has this one meaning for programs.
        let socket = unsafe { self.raw.__bindgen_anon_2.sk };
        // SAFETY: the kernel gives a valid socket or null.
        let socket = unsafe { socket.as_ref() }?;
        Some(field(&socket.mark))
    }

    /// Who connects where.
    #[inline(always)]
    pub(crate) fn tuple(&self) -> Tuple {
        let family = field(&self.raw.family);
        let source = address(family, &self.raw.local_ip4, &self.raw.local_ip6);
        let destination = address(family, &self.raw.remote_ip4, &self.raw.remote_ip6);
        // The local port lies in the machine's order, the remote one in network order and 32 bits wide.
        let source_port = (field(&self.raw.local_port) as u16).to_be();
        let destination_port = (u32::from_be(field(&self.raw.remote_port)) as u16).to_be();
        Tuple::new(source, source_port, destination, destination_port)
    }
}

/// `BPF_SOCK_OPS_TCP_CONNECT_CB`.
const TCP_CONNECT_CB: u32 = 3;

//! The context of the lookup program.

use agent_common::Tuple;
use aya_ebpf::{bindings::bpf_sk_lookup, programs::SkLookupContext};

use super::{INET, address, field};

/// A packet for which the kernel looks for a listener.
pub(crate) struct Lookup<'a> {
    context: &'a SkLookupContext,
    raw: &'a bpf_sk_lookup,
}

/// The transport protocols that the hook is run for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

// === impl Lookup ===

impl<'a> Lookup<'a> {
    /// Wraps the context.
    #[inline(always)]
    pub(crate) fn new(context: &'a SkLookupContext) -> Self {
        // SAFETY: the kernel hands a valid context for the time of the call, which the borrow does not outlive.
        let raw = unsafe { &*context.lookup };
        Self { context, raw }
    }

    /// The context itself, for the helper that assigns.
    #[inline(always)]
    pub(crate) fn context(&self) -> &SkLookupContext {
        self.context
    }

    /// TCP or UDP.
    #[inline(always)]
    pub(crate) fn transport(&self) -> Transport {
        match field(&self.raw.protocol) {
            IPPROTO_TCP => Transport::Tcp,
            _ => Transport::Udp,
        }
    }

    /// Whether the packet is of IPv4.
    #[inline(always)]
    pub(crate) fn is_v4(&self) -> bool {
        field(&self.raw.family) == INET
    }

    /// The port that the packet is for.
    #[inline(always)]
    pub(crate) fn local_port(&self) -> u16 {
        field(&self.raw.local_port) as u16
    }

    /// Who sends to whom.
    #[inline(always)]
    pub(crate) fn tuple(&self) -> Tuple {
        let family = field(&self.raw.family);
        let source = address(family, &self.raw.remote_ip4, &self.raw.remote_ip6);
        let destination = address(family, &self.raw.local_ip4, &self.raw.local_ip6);
        // The remote port lies in network order, the local one in the machine's.
        Tuple::new(
            source,
            field(&self.raw.remote_port),
            destination,
            self.local_port().to_be(),
        )
    }
}

const IPPROTO_TCP: u32 = 6;

//! The context of the sockops programs.

use agent_common::{Hello, Tuple};
use aya_ebpf::{
    EbpfContext as _,
    bindings::bpf_sock_ops,
    helpers::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_load_hdr_opt, bpf_reserve_hdr_opt, bpf_setsockopt,
        bpf_sock_ops_cb_flags_set, bpf_store_hdr_opt,
    },
    programs::SockOpsContext,
};

use super::{address, field};
use crate::maps;

/// A TCP socket at one of its events.
pub(crate) struct Socket<'a> {
    context: &'a SockOpsContext,
    raw: &'a bpf_sock_ops,
}

/// The events that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The socket is about to send its SYN: both ends are set, nothing is sent (`tcp_connect`, 6.18).
    Connects,
    /// The socket listens.
    Listens,
    /// The options of a segment are measured.
    Measures,
    /// The options of a segment are written.
    Writes,
    /// A SYN-ACK has come.
    Connected,
    /// A connection of a listener is established.
    Accepted,
    /// Any other.
    Other,
}

/// The segment that is being made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment {
    Syn,
    SynAck,
    /// A SYN-ACK whose sequence number is a SYN cookie.
    SynAckOfCookie,
    Other,
}

/// Where an option is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the segment that has come.
    Segment,
    /// In the SYN with which the connection began.
    Syn,
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

    /// What happens to the socket.
    #[inline(always)]
    pub(crate) fn event(&self) -> Event {
        match field(&self.raw.op) {
            TCP_CONNECT_CB => Event::Connects,
            ACTIVE_ESTABLISHED_CB => Event::Connected,
            PASSIVE_ESTABLISHED_CB => Event::Accepted,
            TCP_LISTEN_CB => Event::Listens,
            HDR_OPT_LEN_CB => Event::Measures,
            WRITE_HDR_OPT_CB => Event::Writes,
            _ => Event::Other,
        }
    }

    /// The cookie of the socket's network namespace; none where a kernel before 5.15 does not tell, as of sockets that
    /// do not connect.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> Option<u64> {
        if maps::tells_netns() {
            // SAFETY: the helper takes this program type's own context.
            return Some(unsafe { bpf_get_netns_cookie(self.context.as_ptr()) });
        }
        // SAFETY: the helper takes this program type's own context.
        maps::owner(unsafe { bpf_get_socket_cookie(self.context.as_ptr()) })
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

    /// Which segment is being made, where options are measured or written.
    #[inline(always)]
    pub(crate) fn segment(&self) -> Segment {
        // SAFETY: arguments are numbers, whatever the event.
        let synack = unsafe { field(&self.raw.__bindgen_anon_1.args[0]) };
        match field(&self.raw.skb_tcp_flags) & (SYN | ACK) {
            SYN => Segment::Syn,
            SYN_ACK if synack == SYNACK_COOKIE => Segment::SynAckOfCookie,
            SYN_ACK => Segment::SynAck,
            _ => Segment::Other,
        }
    }

    /// How many segments were sent again.
    #[inline(always)]
    pub(crate) fn retransmissions(&self) -> u32 {
        field(&self.raw.total_retrans)
    }

    /// From here on options of the socket's segments are measured and written; others' wishes stay.
    #[inline(always)]
    pub(crate) fn write_options(&self) {
        self.set_flags(self.flags() | WRITE_HDR_OPT);
    }

    /// Ends [`Self::write_options`]: else the program runs for each segment.
    #[inline(always)]
    pub(crate) fn leave_options(&self) {
        let flags = self.flags();
        if flags & WRITE_HDR_OPT != 0 {
            self.set_flags(flags & !WRITE_HDR_OPT);
        }
    }

    /// Has the SYN of each connection of a listener kept.
    #[inline(always)]
    pub(crate) fn save_syn(&self) -> Result<(), i64> {
        self.set(IPPROTO_TCP, TCP_SAVE_SYN, 1)
    }

    /// Sets the socket's priority.
    #[inline(always)]
    pub(crate) fn set_priority(&self, priority: u32) -> Result<(), i64> {
        self.set(SOL_SOCKET, SO_PRIORITY, priority)
    }

    /// Looks for the option by which agents know each other; the error is the kernel's.
    #[inline(always)]
    pub(crate) fn find_option(&self, place: Place) -> Result<Hello, i64> {
        let flags = match place {
            Place::Segment => 0,
            Place::Syn => LOAD_HDR_OPT_TCP_SYN,
        };
        let mut option = *Hello::SOUGHT.bytes();
        // SAFETY: the helper takes this program type's own context, and as many bytes as it is told of.
        let found =
            unsafe { bpf_load_hdr_opt(self.context.ops, (&raw mut option).cast(), Hello::LENGTH as u32, flags) };
        // One that is longer is read as far as there is room.
        if found >= 0 || found == ENOSPC {
            Ok(Hello::from_bytes(option))
        } else {
            Err(found)
        }
    }

    /// Makes room for an option in the segment that is being measured.
    #[inline(always)]
    pub(crate) fn reserve_option(&self, length: usize) -> Result<(), i64> {
        // SAFETY: the helper takes this program type's own context.
        result(unsafe { bpf_reserve_hdr_opt(self.context.ops, length as u32, 0) })
    }

    /// Writes the option into the segment that is being written.
    #[inline(always)]
    pub(crate) fn store_option(&self, option: &Hello) -> Result<(), i64> {
        let bytes = option.bytes();
        // SAFETY: the helper takes this program type's own context, and as many bytes as it is told of.
        result(unsafe { bpf_store_hdr_opt(self.context.ops, bytes.as_ptr().cast(), Hello::LENGTH as u32, 0) })
    }

    #[inline(always)]
    fn flags(&self) -> u32 {
        field(&self.raw.bpf_sock_ops_cb_flags)
    }

    #[inline(always)]
    fn set_flags(&self, flags: u32) {
        // The result names flags which the kernel does not know; those set here it knows since 5.10.
        // SAFETY: the helper takes this program type's own context.
        let _unknown = unsafe { bpf_sock_ops_cb_flags_set(self.context.ops, flags as i32) };
    }

    #[inline(always)]
    fn set(&self, level: i32, option: i32, mut value: u32) -> Result<(), i64> {
        // SAFETY: the helper takes this program type's own context and four readable bytes.
        result(unsafe {
            bpf_setsockopt(
                self.context.as_ptr(),
                level,
                option,
                (&raw mut value).cast(),
                size_of::<u32>() as i32,
            )
        })
    }
}

#[inline(always)]
fn result(error: i64) -> Result<(), i64> {
    if error == 0 { Ok(()) } else { Err(error) }
}

// The events, `BPF_SOCK_OPS_*` of linux/bpf.h.
const TCP_CONNECT_CB: u32 = 3;
const ACTIVE_ESTABLISHED_CB: u32 = 4;
const PASSIVE_ESTABLISHED_CB: u32 = 5;
const TCP_LISTEN_CB: u32 = 11;
const HDR_OPT_LEN_CB: u32 = 14;
const WRITE_HDR_OPT_CB: u32 = 15;

/// `BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG`.
const WRITE_HDR_OPT: u32 = 1 << 6;
/// `BPF_WRITE_HDR_TCP_SYNACK_COOKIE`.
const SYNACK_COOKIE: u32 = 2;
/// `BPF_LOAD_HDR_OPT_TCP_SYN`.
const LOAD_HDR_OPT_TCP_SYN: u64 = 1;

const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
const SYN_ACK: u32 = SYN | ACK;

const SOL_SOCKET: i32 = 1;
const SO_PRIORITY: i32 = 12;
const IPPROTO_TCP: i32 = 6;
const TCP_SAVE_SYN: i32 = 27;
const ENOSPC: i64 = -28;

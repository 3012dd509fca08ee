//! The context of the connect and sendmsg programs.

use agent_common::{Address, SocketAddress, Tuple};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_setsockopt},
    programs::SockAddrContext,
};

use super::{address, field};

/// A socket in connect() or sendmsg(), and where it wants to go.
pub(crate) struct Connect<'a> {
    context: &'a SockAddrContext,
    raw: &'a bpf_sock_addr,
    destination: SocketAddress,
}

// === impl Connect ===

impl<'a> Connect<'a> {
    /// Reads the destination of a `connect4` or `sendmsg4` program, which must not read the fields of the other family.
    #[inline(always)]
    pub(crate) fn v4(context: &'a SockAddrContext) -> Self {
        Self::new(context, |raw| Address::v4(field(&raw.user_ip4)))
    }

    /// Reads the destination of a `connect6` or `sendmsg6` program.
    #[inline(always)]
    pub(crate) fn v6(context: &'a SockAddrContext) -> Self {
        Self::new(context, |raw| super::v6(&raw.user_ip6))
    }

    /// Where the socket wants to go.
    #[inline(always)]
    pub(crate) fn destination(&self) -> SocketAddress {
        self.destination
    }

    /// Whether this is a TCP or MPTCP socket: connect() of UDP sockets passes here too.
    #[inline(always)]
    pub(crate) fn is_stream(&self) -> bool {
        field(&self.raw.type_) == SOCK_STREAM && matches!(field(&self.raw.protocol), IPPROTO_TCP | IPPROTO_MPTCP)
    }

    /// Whether this is a UDP socket.
    #[inline(always)]
    pub(crate) fn is_datagram(&self) -> bool {
        field(&self.raw.type_) == SOCK_DGRAM && matches!(field(&self.raw.protocol), IPPROTO_UDP | IPPROTO_UDPLITE)
    }

    /// The cookie of the socket's network namespace.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper takes this program type's own context.
        unsafe { bpf_get_netns_cookie(self.context.as_ptr()) }
    }

    /// The socket's own cookie.
    #[inline(always)]
    pub(crate) fn cookie(&self) -> u64 {
        // SAFETY: the helper takes this program type's own context.
        unsafe { bpf_get_socket_cookie(self.context.as_ptr()) }
    }

    /// Changes where the socket connects to, in a `connect4` program.
    #[inline(always)]
    pub(crate) fn redirect_v4(&self, destination: SocketAddress) {
        let [_, _, _, word] = destination.address().words();
        let raw = self.context.sock_addr;
        // SAFETY: the kernel hands a valid context for the time of the call.
        set(unsafe { &raw mut (*raw).user_ip4 }, word);
        // SAFETY: as above.
        set(unsafe { &raw mut (*raw).user_port }, destination.port().into());
    }

    /// Changes where the socket connects to, in a `connect6` program.
    #[inline(always)]
    pub(crate) fn redirect_v6(&self, destination: SocketAddress) {
        let [a, b, c, d] = destination.address().words();
        let raw = self.context.sock_addr;
        // SAFETY: the kernel hands a valid context for the time of the call.
        let words = unsafe { &raw mut (*raw).user_ip6 };
        // SAFETY: each of the four words lies in the array.
        set(unsafe { &raw mut (*words)[0] }, a);
        // SAFETY: as above.
        set(unsafe { &raw mut (*words)[1] }, b);
        // SAFETY: as above.
        set(unsafe { &raw mut (*words)[2] }, c);
        // SAFETY: as above.
        set(unsafe { &raw mut (*words)[3] }, d);
        // SAFETY: as above.
        set(unsafe { &raw mut (*raw).user_port }, destination.port().into());
    }

    /// The socket's mark.
    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        field(&self.socket().mark)
    }

    /// Where the socket is bound, the unspecified address and port 0 while it is not, and where it wants to go.
    #[inline(always)]
    pub(crate) fn tuple(&self) -> Tuple {
        let socket = self.socket();
        let source = address(field(&socket.family), &socket.src_ip4, &socket.src_ip6);
        // The port lies in the machine's order.
        let source_port = (field(&socket.src_port) as u16).to_be();
        Tuple::new(source, source_port, self.destination.address(), self.destination.port())
    }

    /// Sets the socket's mark.
    #[inline(always)]
    pub(crate) fn set_mark(&self, mut mark: u32) -> Result<(), i64> {
        // SAFETY: the helper takes this program type's own context and four readable bytes.
        let error = unsafe {
            bpf_setsockopt(
                self.context.as_ptr(),
                SOL_SOCKET,
                SO_MARK,
                (&raw mut mark).cast(),
                size_of::<u32>() as i32,
            )
        };
        if error == 0 { Ok(()) } else { Err(error) }
    }

    #[inline(always)]
    fn socket(&self) -> &bpf_sock {
        // SAFETY: the union has this one meaning for programs.
        let socket = unsafe { self.raw.__bindgen_anon_1.sk };
        // SAFETY: the kernel sets `sk` for each call; the verifier knows it as never null.
        unsafe { &*socket }
    }

    #[inline(always)]
    fn new(context: &'a SockAddrContext, address: impl FnOnce(&bpf_sock_addr) -> Address) -> Self {
        // SAFETY: the kernel hands a valid context for the time of the call, which the borrow does not outlive.
        let raw = unsafe { &*context.sock_addr };
        // The field holds the port in network order in its low half.
        let port = field(&raw.user_port) as u16;
        Self {
            context,
            raw,
            destination: SocketAddress::new(address(raw), port),
        }
    }
}

/// Writes a field of a context by itself: the verifier refuses merged stores as it refuses merged loads.
#[inline(always)]
fn set(field: *mut u32, value: u32) {
    // SAFETY: the callers point to fields of a context that lives.
    unsafe { field.write_volatile(value) }
}

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const IPPROTO_UDPLITE: u32 = 136;
const IPPROTO_MPTCP: u32 = 262;
const SOL_SOCKET: i32 = 1;
const SO_MARK: i32 = 36;

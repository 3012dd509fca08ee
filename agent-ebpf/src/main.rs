//! Weft's kernel programs: entries only. What they decide stands in `connect`, `datagram`, `hello`, `lookup` and `sockops`.
//!
//! A function must not bear its section's name (`sockops`, `sk_lookup`): bpf-linker says "already defined".
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "the entries exist for the kernel only; the host runs the tests")
)]

mod connect;
mod ctx;
mod datagram;
mod hello;
mod lookup;
mod maps;
mod sockops;

#[cfg(target_arch = "bpf")]
mod entries {
    use aya_ebpf::{
        macros::{cgroup_sock_addr, sk_lookup, sock_ops},
        programs::{SkLookupContext, SockAddrContext, SockOpsContext},
    };

    use crate::{
        connect, ctx, datagram,
        lookup::{self, Verdict},
        sockops,
    };

    /// Marks what pods connect to by IPv4.
    #[cgroup_sock_addr(connect4)]
    pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
        allow(connect::connect(&ctx::Connect::v4(&ctx)))
    }

    /// Marks what pods connect to by IPv6, v4-mapped addresses among it.
    #[cgroup_sock_addr(connect6)]
    pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
        allow(connect::connect(&ctx::Connect::v6(&ctx)))
    }

    /// Puts back where pods connect to by IPv4.
    #[cgroup_sock_addr(connect4)]
    pub(crate) fn keep4(ctx: SockAddrContext) -> i32 {
        let socket = ctx::Connect::v4(&ctx);
        connect::keep(&socket, |wanted| socket.redirect_v4(wanted));
        PROCEED
    }

    /// Puts back where pods connect to by IPv6, v4-mapped addresses among it.
    #[cgroup_sock_addr(connect6)]
    pub(crate) fn keep6(ctx: SockAddrContext) -> i32 {
        let socket = ctx::Connect::v6(&ctx);
        connect::keep(&socket, |wanted| socket.redirect_v6(wanted));
        PROCEED
    }

    /// Writes down in which namespace sockets are that connect by IPv4.
    #[cgroup_sock_addr(connect4)]
    pub(crate) fn learn4(ctx: SockAddrContext) -> i32 {
        connect::learn(&ctx::Connect::v4(&ctx));
        PROCEED
    }

    /// Writes down in which namespace sockets are that connect by IPv6.
    #[cgroup_sock_addr(connect6)]
    pub(crate) fn learn6(ctx: SockAddrContext) -> i32 {
        connect::learn(&ctx::Connect::v6(&ctx));
        PROCEED
    }

    /// Refuses datagrams out of the cluster by IPv4; of connected sockets connect() is asked instead.
    #[cgroup_sock_addr(sendmsg4)]
    pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
        allow(datagram::send(&ctx::Connect::v4(&ctx)))
    }

    /// Refuses datagrams out of the cluster by IPv6; v4-mapped addresses come to `sendmsg4`.
    #[cgroup_sock_addr(sendmsg6)]
    pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
        allow(datagram::send(&ctx::Connect::v6(&ctx)))
    }

    /// Greets other agents, and records the agent's connections to applications.
    #[sock_ops]
    pub(crate) fn own_sockets(ctx: SockOpsContext) -> u32 {
        sockops::follow(&ctx::Socket::new(&ctx));
        CONTINUE
    }

    /// Records the kubelet's probes.
    #[sock_ops]
    pub(crate) fn probes(ctx: SockOpsContext) -> u32 {
        sockops::record_probe(&ctx::Socket::new(&ctx));
        CONTINUE
    }

    /// Gives the connections of one pod to the agent.
    #[sk_lookup]
    pub(crate) fn lookup(ctx: SkLookupContext) -> u32 {
        match lookup::lookup(&ctx::Lookup::new(&ctx)) {
            Verdict::Pass => SK_PASS,
            Verdict::Drop => SK_DROP,
        }
    }

    fn allow(verdict: connect::Verdict) -> i32 {
        match verdict {
            connect::Verdict::Proceed => PROCEED,
            connect::Verdict::Refuse => REFUSE,
        }
    }

    const REFUSE: i32 = 0;
    const PROCEED: i32 = 1;
    /// The return value of a sockops program: 0 would have the kernel report failure where it asks for more than an event.
    const CONTINUE: u32 = 1;
    const SK_DROP: u32 = 0;
    const SK_PASS: u32 = 1;

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    /// Helpers such as `bpf_setsockopt` are for GPL-compatible programs only.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

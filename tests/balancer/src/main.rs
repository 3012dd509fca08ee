//! A socket load balancer as small as can be: what Cilium and Calico do to connect(), for the tests of Weft beside them.
//!
//! It puts an endpoint in place of a service's address where a socket connects.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod entries {
    use agent_common::{Address, SocketAddress};
    use aya_ebpf::{
        bindings::bpf_sock_addr,
        macros::{cgroup_sock_addr, map},
        maps::HashMap,
        programs::SockAddrContext,
    };

    #[cgroup_sock_addr(connect4)]
    pub(crate) fn balance4(ctx: SockAddrContext) -> i32 {
        translate(&ctx, read_v4, write_v4)
    }

    #[cgroup_sock_addr(connect6)]
    pub(crate) fn balance6(ctx: SockAddrContext) -> i32 {
        translate(&ctx, read_v6, write_v6)
    }

    #[inline(always)]
    fn translate(
        ctx: &SockAddrContext,
        read: impl Fn(*mut bpf_sock_addr) -> SocketAddress,
        write: impl Fn(*mut bpf_sock_addr, SocketAddress),
    ) -> i32 {
        let destination = read(ctx.sock_addr);
        // SAFETY: entries are written before the program is attached, and never changed.
        if let Some(endpoint) = unsafe { SERVICES.get(destination) } {
            write(ctx.sock_addr, *endpoint);
        }
        PROCEED
    }

    #[inline(always)]
    fn read_v4(raw: *mut bpf_sock_addr) -> SocketAddress {
        SocketAddress::new(Address::v4(get(v4(raw))), get(port(raw)) as u16)
    }

    #[inline(always)]
    fn read_v6(raw: *mut bpf_sock_addr) -> SocketAddress {
        let [a, b, c, d] = v6(raw);
        let words = [get(a), get(b), get(c), get(d)];
        SocketAddress::new(Address::v6(words), get(port(raw)) as u16)
    }

    #[inline(always)]
    fn write_v4(raw: *mut bpf_sock_addr, to: SocketAddress) {
        let [_, _, _, word] = to.address().words();
        set(v4(raw), word);
        set(port(raw), to.port().into());
    }

    #[inline(always)]
    fn write_v6(raw: *mut bpf_sock_addr, to: SocketAddress) {
        let ([a, b, c, d], words) = (v6(raw), to.address().words());
        set(a, words[0]);
        set(b, words[1]);
        set(c, words[2]);
        set(d, words[3]);
        set(port(raw), to.port().into());
    }

    #[inline(always)]
    fn v4(raw: *mut bpf_sock_addr) -> *mut u32 {
        // SAFETY: the kernel hands a valid context.
        unsafe { &raw mut (*raw).user_ip4 }
    }

    #[inline(always)]
    fn v6(raw: *mut bpf_sock_addr) -> [*mut u32; 4] {
        // SAFETY: the kernel hands a valid context.
        let words = unsafe { &raw mut (*raw).user_ip6 }.cast::<u32>();
        // SAFETY: each of the four words lies in the field.
        let word = |index| unsafe { words.add(index) };
        [word(0), word(1), word(2), word(3)]
    }

    #[inline(always)]
    fn port(raw: *mut bpf_sock_addr) -> *mut u32 {
        // SAFETY: the kernel hands a valid context.
        unsafe { &raw mut (*raw).user_port }
    }

    /// Reads a field by itself: the verifier refuses merged loads and stores.
    #[inline(always)]
    fn get(field: *mut u32) -> u32 {
        // SAFETY: the callers point to fields of a context that lives.
        unsafe { field.read_volatile() }
    }

    #[inline(always)]
    fn set(field: *mut u32, value: u32) {
        // SAFETY: as above.
        unsafe { field.write_volatile(value) }
    }

    #[map]
    static SERVICES: HashMap<SocketAddress, SocketAddress> = HashMap::with_max_entries(16, 0);

    const PROCEED: i32 = 1;

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

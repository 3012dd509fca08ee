//! Addresses as keys: one 16-byte form for both families, so that each map and each code path exists once.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::layout::map_value;

/// An IP address; IPv4 is written as `::ffff:a.b.c.d`.
///
/// Held as four words, each as it lies in memory in network order: byte by byte the kernel programs outgrow their stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Address([u32; 4]);

/// An address and a port, both as they lie in memory in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct SocketAddress {
    address: Address,
    port: u16,
    zero: u16,
}

map_value!(Address, 16);
map_value!(SocketAddress, 20);

// === impl Address ===

impl Address {
    /// Bits that stand before an IPv4 address: what its prefix lengths are longer by.
    pub const MAPPED_BITS: u8 = 96;

    /// Takes an IPv4 address as it lies in memory in network order.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self([0, 0, Self::MAPPED, word])
    }

    /// Takes an IPv6 address as it lies in memory in network order.
    #[inline(always)]
    pub const fn v6(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// The four words, each as it lies in memory in network order.
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        self.0
    }

    /// Whether this is 127.0.0.0/8 or ::1.
    #[inline(always)]
    pub const fn is_loopback(&self) -> bool {
        let [a, b, c, d] = self.0;
        if self.is_v4() {
            d & Self::LOOPBACK_MASK == Self::LOOPBACK
        } else {
            a | b | c == 0 && d == u32::to_be(1)
        }
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        let [a, b, c, _] = self.0;
        a | b == 0 && c == Self::MAPPED
    }

    /// The sixteen bytes.
    #[inline(always)]
    pub fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        for (chunk, word) in octets.chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }

    /// The address as the standard library has it, IPv4 as IPv4.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.octets()).to_canonical()
    }

    const MAPPED: u32 = u32::to_be(0xffff);
    const LOOPBACK: u32 = u32::to_be(0x7f00_0000);
    const LOOPBACK_MASK: u32 = u32::to_be(0xff00_0000);
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(u32::from_ne_bytes(ip.octets()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        let bits = ip.to_bits();
        Self::v6([96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be()))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}

// === impl SocketAddress ===

impl SocketAddress {
    /// Joins an address and a port in network order.
    #[inline(always)]
    pub const fn new(address: Address, port: u16) -> Self {
        Self { address, port, zero: 0 }
    }

    /// The address.
    #[inline(always)]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The port as it lies in memory in network order.
    #[inline(always)]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address and port as the standard library has them.
    pub fn socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), u16::from_be(self.port))
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip().into(), address.port().to_be())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn both_families_survive_the_way_into_a_map_and_back() {
        for text in ["10.0.0.1", "2001:db8::1", "::1", "0.0.0.0", "::"] {
            assert_eq!(address(text).ip(), text.parse::<IpAddr>().unwrap());
        }
        let socket: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(SocketAddress::from(socket).socket_addr(), socket);
    }

    #[test]
    fn only_loopback_addresses_are_loopback() {
        for text in ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"] {
            assert!(address(text).is_loopback(), "{text}");
        }
        for text in [
            "126.0.0.1",
            "128.0.0.1",
            "::",
            "::2",
            "2001:db8::1",
            "0.0.0.1",
            "7f00::1",
        ] {
            assert!(!address(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert!(address("10.0.0.1").is_v4());
        assert!(!address("2001:db8::1").is_v4());
    }
}

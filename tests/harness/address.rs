//! The addresses of a lab. Labs share nothing, so each uses the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// IPv4 or IPv6; most tests run over [`Family::BOTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

// === impl Family ===

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

// === impl Addresses ===

impl Addresses {
    /// The loopback addresses.
    pub const LOOPBACK: Self = Self {
        v4: Ipv4Addr::LOCALHOST,
        v6: Ipv6Addr::LOCALHOST,
    };

    /// The addresses of a service, out of the lab's service range.
    pub const fn service(number: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(10, 96, 0, number),
            v6: Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, number as u16),
        }
    }

    /// A node on the underlay.
    pub(crate) const fn node(node: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(172, 18, 0, node),
            v6: Ipv6Addr::new(0xfd00, 0x18, 0, 0, 0, 0, 0, node as u16),
        }
    }

    /// What stands on the underlay itself.
    pub(crate) const fn underlay() -> Self {
        Self::node(254)
    }

    /// A pod on a node, out of the node's /16; host 1 is the node's own bridge.
    pub(crate) const fn pod(node: u8, host: u16) -> Self {
        let [high, low] = host.to_be_bytes();
        Self {
            v4: Ipv4Addr::new(10, 100 + node, high, low),
            v6: Ipv6Addr::new(0xfd00, 0x244, 0, node as u16, 0, 0, 0, host),
        }
    }

    /// The address of one family.
    pub fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// The address of one family with a port.
    pub fn at(self, family: Family, port: u16) -> SocketAddr {
        (self.of(family), port).into()
    }

    /// Both, as the API's lists hold them.
    pub fn both(self) -> [IpAddr; 2] {
        Family::BOTH.map(|family| self.of(family))
    }
}

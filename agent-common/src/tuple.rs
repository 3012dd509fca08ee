//! The 4-tuple of a TCP connection.

use core::net::SocketAddr;

use crate::{Address, SocketAddress, layout::map_value};

/// Who connects where, seen from the SYN, as it lies in memory in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Tuple {
    source: Address,
    destination: Address,
    source_port: u16,
    destination_port: u16,
}

map_value!(Tuple, 36);

// === impl Tuple ===

impl Tuple {
    /// Joins both ends, ports in network order.
    #[inline(always)]
    pub const fn new(source: Address, source_port: u16, destination: Address, destination_port: u16) -> Self {
        Self {
            source,
            destination,
            source_port,
            destination_port,
        }
    }

    /// The address that connects.
    #[inline(always)]
    pub const fn source(&self) -> &Address {
        &self.source
    }

    /// The address that is connected to.
    #[inline(always)]
    pub const fn destination(&self) -> &Address {
        &self.destination
    }

    /// The port that is connected to.
    #[inline(always)]
    pub const fn destination_port(&self) -> u16 {
        u16::from_be(self.destination_port)
    }

    /// Both ends as the standard library has them: source, destination.
    pub fn socket_addrs(self) -> (SocketAddr, SocketAddr) {
        (
            SocketAddress::new(self.source, self.source_port).socket_addr(),
            SocketAddress::new(self.destination, self.destination_port).socket_addr(),
        )
    }
}

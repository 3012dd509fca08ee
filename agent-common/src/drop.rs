//! What the kernel programs tell about a connection that they refused.

use core::array;

use crate::{Address, Count, Tuple, layout::map_value};

/// A refused connection, an entry of [`crate::names::map::DROPS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DropEvent {
    time: u64,
    cookie: u64,
    tuple: Tuple,
    reason: u32,
}

map_value!(DropEvent, 56);

// === impl DropEvent ===

impl DropEvent {
    /// Joins the time by CLOCK_MONOTONIC in nanoseconds, the pod's network namespace, and what was refused why.
    #[inline(always)]
    pub const fn new(time: u64, cookie: u64, tuple: Tuple, reason: Count) -> Self {
        Self {
            time,
            cookie,
            tuple,
            reason: reason.index(),
        }
    }

    /// Reads an entry of the ring; none when it has another size.
    pub fn parse(entry: &[u8]) -> Option<Self> {
        let entry: &[u8; size_of::<Self>()] = entry.try_into().ok()?;
        let half = |index: usize| u16::from_ne_bytes(array::from_fn(|byte| entry[index * 2 + byte]));
        let word = |index: usize| u32::from_ne_bytes(array::from_fn(|byte| entry[index * 4 + byte]));
        let long = |index: usize| u64::from_ne_bytes(array::from_fn(|byte| entry[index * 8 + byte]));
        let source = Address::v6(array::from_fn(|index| word(4 + index)));
        let destination = Address::v6(array::from_fn(|index| word(8 + index)));
        Some(Self {
            time: long(0),
            cookie: long(1),
            tuple: Tuple::new(source, half(24), destination, half(25)),
            reason: word(13),
        })
    }

    /// When, by CLOCK_MONOTONIC in nanoseconds.
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The network namespace of the pod.
    pub const fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Who wanted to connect where.
    pub const fn tuple(&self) -> Tuple {
        self.tuple
    }

    /// Why it was refused; none when programs of another build wrote a reason that this one does not know.
    pub fn reason(&self) -> Option<Count> {
        Count::from_index(self.reason)
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;
    use crate::SocketAddress;

    #[test]
    fn an_event_is_read_as_the_programs_wrote_it() {
        let (source, destination): (SocketAddr, SocketAddr) =
            ("10.0.0.1:4321".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap());
        let [from, to] = [source, destination].map(SocketAddress::from);
        let tuple = Tuple::new(from.address(), from.port(), to.address(), to.port());
        let event = DropEvent::new(7, u64::MAX - 1, tuple, Count::Stray);

        let mut entry = [0; 56];
        entry[..8].copy_from_slice(&7u64.to_ne_bytes());
        entry[8..16].copy_from_slice(&(u64::MAX - 1).to_ne_bytes());
        entry[16..32].copy_from_slice(&from.address().octets());
        entry[32..48].copy_from_slice(&to.address().octets());
        entry[48..50].copy_from_slice(&4321u16.to_be_bytes());
        entry[50..52].copy_from_slice(&80u16.to_be_bytes());
        entry[52..].copy_from_slice(&Count::Stray.index().to_ne_bytes());

        assert_eq!(DropEvent::parse(&entry), Some(event));
        assert_eq!(event.tuple().socket_addrs(), (source, destination));
        assert_eq!(DropEvent::parse(&entry[1..]), None);
    }
}

//! Connections that the kernel programs refuse, as they happen.

use std::{net::SocketAddr, os::fd::AsFd as _, time::Duration};

use agent_common::{DropEvent, names};
use aya::maps::{Map, MapData, RingBuf};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{InspectError, Pins, entries::monotonic};

/// The ring of refused connections, from now on. One reader takes them from another.
pub struct Drops {
    ring: RingBuf<MapData>,
    /// When the reading began: the ring keeps what nobody read.
    since: u64,
}

/// A connection that the kernel programs refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How long ago.
    pub age: Duration,
    /// The cookie of the pod's network namespace.
    pub netns_cookie: u64,
    /// Who wanted to connect.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// Why it was refused; a programs' build that this one does not know may have reasons of its own.
    pub reason: &'static str,
}

// === impl Pins ===

impl Pins {
    /// Follows the refused connections of the whole node.
    pub fn drops(&self) -> Result<Drops, InspectError> {
        let name = names::map::DROPS;
        let failed = |source| InspectError::Map {
            name: name.to_owned(),
            source,
        };
        let ring = MapData::from_pin(self.root.join(names::MAPS).join(name))
            .and_then(Map::from_map_data)
            .and_then(RingBuf::try_from)
            .map_err(failed)?;
        Ok(Drops {
            ring,
            since: monotonic(),
        })
    }
}

// === impl Drops ===

impl Drops {
    /// Waits for the next one; blocks the thread.
    pub fn wait(&mut self) -> Result<Dropped, InspectError> {
        loop {
            while let Some(entry) = self.ring.next() {
                let event = DropEvent::parse(&entry);
                if let Some(event) = event.filter(|event| event.time() >= self.since) {
                    return Ok(Dropped::of(event, monotonic()));
                }
            }
            let mut filled = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
            match poll(&mut filled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(InspectError::Ring(error.into())),
            }
        }
    }
}

// === impl Dropped ===

impl Dropped {
    fn of(event: DropEvent, now: u64) -> Self {
        let (source, destination) = event.tuple().socket_addrs();
        Self {
            age: Duration::from_nanos(now.saturating_sub(event.time())),
            netns_cookie: event.cookie(),
            source,
            destination,
            reason: event.reason().map_or("unknown", |reason| reason.label()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use agent_common::{Count, Tuple};

    use super::*;

    #[test]
    fn an_event_is_as_old_as_the_clock_says() {
        let [source, destination] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap().into());
        let tuple = Tuple::new(source, 40000_u16.to_be(), destination, 80_u16.to_be());
        let event = DropEvent::new(2_000_000_000, 17, tuple, Count::Stray);
        assert_eq!(
            Dropped::of(event, 3_000_000_000),
            Dropped {
                age: Duration::from_secs(1),
                netns_cookie: 17,
                source: "10.0.0.1:40000".parse().unwrap(),
                destination: "10.0.0.2:80".parse().unwrap(),
                reason: "stray",
            }
        );
    }
}

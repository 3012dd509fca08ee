//! Connections that the kernel programs refuse, as they happen.

use std::{
    net::SocketAddr,
    os::fd::AsFd as _,
    time::{Duration, SystemTime},
};

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
    /// When.
    pub time: SystemTime,
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
                    return Ok(Dropped::at(event, monotonic(), SystemTime::now()));
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
    /// Dates an event by the two clocks of one moment.
    fn at(event: DropEvent, monotonic: u64, wall: SystemTime) -> Self {
        let (source, destination) = event.tuple().socket_addrs();
        Self {
            time: wall - Duration::from_nanos(monotonic.saturating_sub(event.time())),
            netns_cookie: event.cookie(),
            source,
            destination,
            reason: event.reason().map_or("unknown", |reason| reason.label()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::UNIX_EPOCH};

    use agent_common::{Count, Tuple};

    use super::*;

    #[test]
    fn an_event_is_dated_by_the_clock_on_the_wall() {
        let [source, destination] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap().into());
        let tuple = Tuple::new(source, 40000_u16.to_be(), destination, 80_u16.to_be());
        let event = DropEvent::new(2_000_000_000, 17, tuple, Count::Stray);
        assert_eq!(
            Dropped::at(event, 3_000_000_000, UNIX_EPOCH + Duration::from_secs(100)),
            Dropped {
                time: UNIX_EPOCH + Duration::from_secs(99),
                netns_cookie: 17,
                source: "10.0.0.1:40000".parse().unwrap(),
                destination: "10.0.0.2:80".parse().unwrap(),
                reason: "stray",
            }
        );
    }
}

//! Connections that the kernel programs refuse, as they happen.

use std::os::fd::AsFd as _;

use agent_common::names;
use aya::maps::{Map, MapData, RingBuf};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{InspectError, Pins};
use crate::kernel::{Dropped, heartbeat::monotonic};

/// The ring of refused connections, from now on. One reader takes them from another.
pub struct Drops {
    ring: RingBuf<MapData>,
    /// When the reading began: the ring keeps what nobody read.
    since: u64,
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
                let dropped = Dropped::parse(&entry);
                if let Some(dropped) = dropped.filter(|dropped| dropped.time >= self.since) {
                    return Ok(dropped);
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

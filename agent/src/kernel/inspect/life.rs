//! Whether an agent runs, by the word of its heartbeat.

use agent_common::{
    names::{self, map::HEARTBEAT},
    time::{HEARTBEAT_LIMIT, fresh},
};
use aya::maps::{Array, Map, MapData};

use super::Pins;
use crate::kernel::heartbeat::monotonic;

/// Whether an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It said so a moment ago.
    Alive,
    /// It did not, or never did.
    Away,
}

// === impl Pins ===

impl Pins {
    /// Whether the agent to whom the pins belong runs.
    pub fn life(&self) -> Life {
        let written = MapData::from_pin(self.root.join(names::MAPS).join(HEARTBEAT))
            .and_then(Map::from_map_data)
            .and_then(Array::<_, u64>::try_from)
            .and_then(|map| map.get(&0, 0));
        match written {
            Ok(written) if fresh(written, monotonic(), HEARTBEAT_LIMIT) => Life::Alive,
            Ok(_) | Err(_) => Life::Away,
        }
    }
}

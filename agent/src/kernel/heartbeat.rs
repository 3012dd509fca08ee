//! How the kernel programs know that the agent lives.

use agent_common::{names::map::HEARTBEAT, time::HEARTBEAT_PERIOD};
use aya::maps::{Array, MapData};
use nix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

use super::{KernelError, maps::open, pins::NodePins};

/// The agent's sign of life.
pub(super) struct Heartbeat(Array<MapData, u64>);

// === impl Heartbeat ===

impl Heartbeat {
    pub(super) fn open(pins: &NodePins) -> Result<Self, KernelError> {
        open(pins, HEARTBEAT).map(Self)
    }

    /// Beats until it is dropped. It runs where the room's other work runs, so that it stops when that is stuck.
    pub(super) async fn beat(mut self) {
        let mut period = interval(HEARTBEAT_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            period.tick().await;
            if let Err(error) = self.0.set(0, monotonic(), 0) {
                tracing::error!(%error, "Heartbeat cannot be written");
            }
        }
    }
}

/// The time that `bpf_ktime_get_ns` gives.
pub(super) fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|now| u64::try_from(std::time::Duration::from(now).as_nanos()).ok())
        .expect("CLOCK_MONOTONIC exists and fits for 584 years")
}

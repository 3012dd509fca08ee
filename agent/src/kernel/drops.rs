//! What the kernel programs tell about refused connections.

use std::{net::SocketAddr, time::Duration};

use agent_common::{Count, DropEvent, names::map::DROPS};
use aya::maps::{MapData, RingBuf};
use tokio::{io::unix::AsyncFd, sync::broadcast};

use super::{KernelError, heartbeat::monotonic, maps::open, pins::NodePins, ring};
use crate::net::Cookie;

/// A connection that the kernel programs refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// When, by CLOCK_MONOTONIC in nanoseconds.
    pub time: u64,
    /// The network namespace of the pod.
    pub netns: Cookie,
    /// Who wanted to connect.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// Why it was refused.
    pub reason: Count,
}

/// The ring of refusals. It is read whether anybody asks or not, so that it holds fresh ones when somebody does.
pub(super) struct Drops(AsyncFd<RingBuf<MapData>>);

// === impl Drops ===

impl Drops {
    /// Needs a tokio runtime.
    pub(super) fn open(pins: &NodePins) -> Result<Self, KernelError> {
        ring::watch(open(pins, DROPS)?, DROPS).map(Self)
    }

    /// Passes refusals on until it is dropped.
    pub(super) async fn forward(mut self, to: broadcast::Sender<Dropped>) {
        loop {
            let Ok(mut ready) = self.0.readable_mut().await else {
                return;
            };
            while let Some(entry) = ready.get_inner_mut().next() {
                // Nobody may be listening.
                let _receivers = Dropped::parse(&entry).map(|dropped| to.send(dropped));
            }
            ready.clear_ready();
        }
    }
}

// === impl Dropped ===

impl Dropped {
    /// How long ago it was refused.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(monotonic().saturating_sub(self.time))
    }

    /// Reads an entry of the ring; none when another build wrote it.
    pub fn parse(entry: &[u8]) -> Option<Self> {
        let event = DropEvent::parse(entry)?;
        let (source, destination) = event.tuple().socket_addrs();
        Some(Self {
            time: event.time(),
            netns: Cookie(event.cookie()),
            source,
            destination,
            reason: event.reason()?,
        })
    }
}

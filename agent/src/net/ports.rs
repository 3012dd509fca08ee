//! Source ports of the agent's legs to applications, which bear the client's address.
//!
//! Such a leg must share its 4-tuple with no connection that the client itself has there, in either direction: both
//! would stall. Clients choose from 32768 up; the legs take what lies below, unless the operator says otherwise.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// The source ports in use, between all clients and destinations of this node. Cheap to clone.
#[derive(Clone)]
pub struct SourcePorts(Arc<Shards>);

/// A source port held between one client and one destination, until it is dropped.
pub struct SourcePort {
    port: u16,
    pair: Pair,
    ports: SourcePorts,
}

/// No source port is left between this client and this destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no source port is left between {client} and {destination}")]
pub struct PortsExhausted {
    /// The client.
    pub client: IpAddr,
    /// The destination.
    pub destination: SocketAddr,
}

/// Locks by pair, so that lanes seldom meet.
struct Shards {
    range: RangeInclusive<u16>,
    hasher: RandomState,
    shards: [Mutex<Shard>; 16],
}

#[derive(Default)]
struct Shard {
    pairs: HashMap<Pair, Held>,
    /// The number of pairs at which the idle ones are looked for.
    sweep_at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Pair {
    client: IpAddr,
    destination: SocketAddr,
}

/// What is in use between a pair.
struct Held {
    /// How many hold each port: a client may use a tuple again before its last connection was let go of.
    ports: HashMap<u16, u32>,
    /// Where the search goes on: a port is used again as late as possible.
    next: u16,
    touched: Instant,
}

// === impl SourcePorts ===

impl SourcePorts {
    /// From below what clients choose (`ip_local_port_range` begins at 32768), above what services commonly listen at.
    pub const USUAL: RangeInclusive<u16> = 10_000..=32_767;

    /// Takes ports out of this range.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self(Arc::new(Shards {
            range,
            hasher: RandomState::new(),
            shards: Default::default(),
        }))
    }

    /// Takes a port that nobody uses between this client and this destination.
    pub fn take(&self, client: IpAddr, destination: SocketAddr) -> Result<SourcePort, PortsExhausted> {
        let pair = Pair { client, destination };
        let port = self
            .shard(&pair)
            .held(pair, &self.0.range)
            .take(&self.0.range)
            .ok_or(PortsExhausted { client, destination })?;
        Ok(self.guard(port, pair))
    }

    /// Notes that a connection between `client` and `destination` exists which is not of the agent's making; none where
    /// the client's port is one that is never taken.
    pub fn occupy(&self, client: SocketAddr, destination: SocketAddr) -> Option<SourcePort> {
        let port = client.port();
        if !self.0.range.contains(&port) {
            return None;
        }
        let pair = Pair {
            client: client.ip(),
            destination,
        };
        self.shard(&pair).held(pair, &self.0.range).hold(port);
        Some(self.guard(port, pair))
    }

    fn guard(&self, port: u16, pair: Pair) -> SourcePort {
        SourcePort {
            port,
            pair,
            ports: self.clone(),
        }
    }

    fn shard(&self, pair: &Pair) -> MutexGuard<'_, Shard> {
        let Shards { hasher, shards, .. } = &*self.0;
        let index = hasher.hash_one(pair) as usize % shards.len();
        // Nothing below panics halfway through a change.
        shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SourcePorts {
    fn default() -> Self {
        Self::new(Self::USUAL)
    }
}

impl fmt::Debug for SourcePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourcePorts").finish_non_exhaustive()
    }
}

// === impl SourcePort ===

impl SourcePort {
    /// The port's number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

impl Drop for SourcePort {
    fn drop(&mut self) {
        let range = &self.ports.0.range;
        self.ports.shard(&self.pair).held(self.pair, range).release(self.port);
    }
}

impl fmt::Debug for SourcePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourcePort({})", self.port)
    }
}

// === impl Shard ===

impl Shard {
    fn held(&mut self, pair: Pair, range: &RangeInclusive<u16>) -> &mut Held {
        let now = Instant::now();
        if self.pairs.len() >= self.sweep_at {
            self.pairs.retain(|_, held| !held.forgettable(now));
            self.sweep_at = (self.pairs.len() * 2).max(SMALLEST_SWEEP);
            self.pairs.shrink_to(self.sweep_at);
        }
        let held = self.pairs.entry(pair).or_insert_with(|| Held::new(*range.start(), now));
        held.touched = now;
        held
    }
}

// === impl Held ===

impl Held {
    fn new(next: u16, now: Instant) -> Self {
        Self {
            ports: HashMap::new(),
            next,
            touched: now,
        }
    }

    fn take(&mut self, range: &RangeInclusive<u16>) -> Option<u16> {
        if self.ports.len() >= range.len() {
            return None;
        }
        let port = (self.next..=*range.end())
            .chain(*range.start()..self.next)
            .find(|port| !self.ports.contains_key(port))?;
        self.next = if port == *range.end() { *range.start() } else { port + 1 };
        self.hold(port);
        Some(port)
    }

    fn hold(&mut self, port: u16) {
        *self.ports.entry(port).or_default() += 1;
    }

    fn release(&mut self, port: u16) {
        if let Some(holders) = self.ports.get_mut(&port) {
            *holders -= 1;
            if *holders == 0 {
                self.ports.remove(&port);
            }
        }
    }

    /// Whether nothing is lost with it: once no tuple can be in TIME_WAIT, it does not matter where the search begins.
    fn forgettable(&self, now: Instant) -> bool {
        self.ports.is_empty() && now.duration_since(self.touched) > TIME_WAIT
    }
}

/// `TCP_TIMEWAIT_LEN`, which no sysctl changes.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// So many pairs in a shard are no matter.
const SMALLEST_SWEEP: usize = 64;

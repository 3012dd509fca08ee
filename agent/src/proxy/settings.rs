//! What the proxy may use.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use crate::net::{Liveness, SourcePorts};

/// What the proxy may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that carry connections.
    pub lanes: NonZeroUsize,
    /// Connections that one pod may hold.
    pub max_connections_per_pod: u32,
    /// Bytes that one pod's connections may hold in buffers.
    pub max_buffer_per_pod: u64,
    /// Bytes that all connections may hold in buffers.
    pub max_buffer: u64,
    /// How long an endpoint may take to answer.
    pub connect_timeout: Duration,
    /// What proves that one pod of this node may reach another.
    pub same_node: SameNode,
    /// Whether connections between agents serve more than one of a pod's.
    pub pool: Pooling,
    /// How long after mutual TLS with a pod its plaintext is refused though its mode permits it.
    pub peer_memory: Duration,
    /// The source ports of connections to applications in their clients' names.
    pub leg_ports: RangeInclusive<u16>,
    /// How a dead peer of a proxied connection is noticed.
    pub liveness: Liveness,
    /// How long clients that speak HTTP may let their connections wait.
    pub http: HttpLimits,
}

/// How long a client that speaks HTTP may let its connection wait.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// With nothing read of it that is on its way to it, or with nothing sent of a body that its upstream asks for before
    /// it has answered.
    pub stall: Duration,
    /// Without a request.
    pub idle: Duration,
}

/// What proves that one pod of this node may reach another, whose connections pass in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameNode {
    /// A connection over the network between them.
    Leased,
    /// Nothing: the network has no say.
    Trusted,
}

/// What becomes of a connection to another agent when its stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// It waits for the pod's next stream.
    Kept,
    /// It is closed, and no ticket of it is kept.
    Off,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_connections_per_pod: 10_000,
            max_buffer_per_pod: 64 << 20,
            max_buffer: 512 << 20,
            connect_timeout: Duration::from_secs(5),
            same_node: SameNode::Leased,
            pool: Pooling::Kept,
            peer_memory: Duration::from_secs(300),
            leg_ports: SourcePorts::USUAL,
            liveness: Liveness::default(),
            http: HttpLimits::default(),
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            stall: Duration::from_secs(300),
            idle: Duration::from_secs(3600),
        }
    }
}

//! A captured pod as the proxy sees it: where its connections come in, and what they share.

use std::{
    any::Any,
    fmt,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio_util::sync::CancellationToken;

use super::{affinity::Sticky, capacity::DoorSeat, trouble::Troubles};
use crate::{model::Pod, net::NetNs};

/// A captured pod, ready to be served.
#[derive(Debug)]
pub struct Door {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Its network namespace.
    pub netns: NetNs,
    /// Its listeners in that namespace.
    pub listeners: Listeners,
    /// What must outlive its connections.
    pub hold: Hold,
}

/// A pod's listeners. Each is non-blocking and transparent.
#[derive(Debug)]
pub struct Listeners {
    /// Takes what the pod opens.
    pub outbound: Pair,
    /// Takes what is opened to the pod.
    pub inbound: Pair,
}

/// One listener per address family that the pod's namespace has.
#[derive(Debug)]
pub struct Pair {
    /// IPv4's.
    pub v4: Option<TcpListener>,
    /// IPv6's.
    pub v6: Option<TcpListener>,
}

/// Keeps something of another room in place while a connection lives.
#[derive(Clone)]
pub struct Hold(#[expect(dead_code, reason = "held for its Drop")] Arc<dyn Any + Send + Sync>);

/// Why a pod's listeners close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The pod leaves the mesh; its connections live on.
    Leave,
    /// The pod is gone; its connections are cut.
    Gone,
}

/// What the connections of one captured pod share, whichever lane they are on.
///
/// Each connection keeps it, and with it the [`Hold`]. What is remembered of endpoints is remembered per pod: a network
/// policy may forbid to one pod what another may reach, and no pod can spoil another's.
#[derive(Debug)]
pub(super) struct OpenDoor {
    pub(super) pod: Arc<Pod>,
    pub(super) netns: NetNs,
    pub(super) troubles: Troubles,
    pub(super) sticky: Sticky,
    pub(super) seat: DoorSeat,
    /// Cancelled when the pod leaves the mesh or is gone: connections between agents end with their streams then.
    pub(super) closing: CancellationToken,
    gone: AtomicBool,
    _hold: Hold,
}

// === impl Pair ===

impl Pair {
    /// The listeners there are.
    pub(super) fn into_iter(self) -> impl Iterator<Item = TcpListener> {
        self.v4.into_iter().chain(self.v6)
    }
}

// === impl Hold ===

impl Hold {
    /// Wraps what is to be kept.
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self(Arc::new(kept))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

// === impl OpenDoor ===

impl OpenDoor {
    pub(super) fn new(pod: Arc<Pod>, netns: NetNs, hold: Hold, seat: DoorSeat) -> Self {
        Self {
            pod,
            netns,
            troubles: Troubles::default(),
            sticky: Sticky::default(),
            seat,
            closing: CancellationToken::new(),
            gone: AtomicBool::new(false),
            _hold: hold,
        }
    }

    /// Notes that the pod is gone, before its connections are cut: one that is on its way between lanes looks here.
    pub(super) fn shut(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Whether the pod is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

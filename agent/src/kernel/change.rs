//! What the room tells the rest of the agent: which pods are captured from now on, and which no longer.

use std::{
    net::{IpAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use tokio::sync::watch;

use super::Hold;
use crate::{
    model::{Pod, PodUid},
    net::NetNs,
};

/// A pod came or went.
#[derive(Debug)]
pub enum Change {
    /// A pod is captured.
    Up(Box<Captured>),
    /// A pod is captured no more; its listeners are out of the kernel's reach already.
    Down {
        /// The pod.
        uid: PodUid,
        /// Why.
        departure: Departure,
    },
}

/// A captured pod: everything is in place, and its connections wait for somebody who accepts them.
#[derive(Debug)]
pub struct Captured {
    /// The pod as it was when it was captured.
    pub pod: Arc<Pod>,
    /// Its network namespace.
    pub netns: NetNs,
    /// All addresses of that namespace, sorted, loopback's among them.
    pub addresses: watch::Receiver<Arc<[IpAddr]>>,
    /// Where its connections come in.
    pub listeners: Listeners,
    /// Where its DNS queries come in; none where they are untouched.
    pub dns: Option<PerFamily<UdpSocket>>,
    /// To be kept by each live connection.
    pub hold: Hold,
}

/// A pod's listeners: non-blocking, transparent, in the pod's namespace.
#[derive(Debug)]
pub struct Listeners {
    /// They accept what the pod opens.
    pub outbound: PerFamily<TcpListener>,
    /// They accept what others open to the pod.
    pub inbound: PerFamily<TcpListener>,
}

/// One of each for the address families that the namespace has.
#[derive(Debug)]
pub struct PerFamily<T> {
    /// For IPv4.
    pub v4: Option<T>,
    /// For IPv6.
    pub v6: Option<T>,
}

/// Why a pod is captured no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It left the mesh, or the agent stops: its connections go on.
    Left,
    /// It or its network namespace is gone: its connections are to be cut.
    Gone,
}

// === impl PerFamily ===

impl<T> PerFamily<T> {
    /// Makes one for each family, where there can be one.
    pub(super) fn try_from_fn<E>(mut make: impl FnMut(crate::net::Family) -> Result<Option<T>, E>) -> Result<Self, E> {
        Ok(Self {
            v4: make(crate::net::Family::V4)?,
            v6: make(crate::net::Family::V6)?,
        })
    }
}

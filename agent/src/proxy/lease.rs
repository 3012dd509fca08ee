//! Leases: proofs that the network lets one pod of this node reach another, whose bytes then pass in memory.
//!
//! ```text
//! A's namespace ── TCP to B's address and port, over the CNI ──▶ B's inbound listener
//!      near end ◀──────────── a number drawn for it ──────────── far end: knows the connection by its addresses
//! ```
//!
//! The far end speaks and the near end is silent, so that an application which gets the connection, because its pod is
//! just leaving the mesh, hears nothing of it.
//!
//! Both ends are this agent's. The connection stays open and idle: when the network breaks it the lease is lost, and it
//! is asked for anew at least every two minutes, and when a NetworkPolicy of either namespace changes. Whoever asks while
//! another does waits for the same answer.

mod far;
mod near;
mod nonce;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::watch, task::spawn_local, time::Instant};

use tokio_util::sync::CancellationToken;

pub(super) use self::far::serve_far_end;
use self::near::{Near, keep};
use self::nonce::Nonce;
use super::{captured::Arrival, lane::Lane};
use crate::{
    model::{ObjectName, PodUid},
    telemetry::{ConnectionId, Denied, Direction, LiveConnection, Phase, Security},
};

/// Every lease of the node, and the nonces that are on their way.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<Between, Arc<Lease>>>,
    /// The connections that are being made, by their addresses.
    on_their_way: Mutex<HashMap<Tuple, Claim>>,
}

/// Between which pod and which address a lease is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Between {
    pub(super) source: PodUid,
    pub(super) destination: SocketAddr,
}

/// One lease.
#[derive(Debug)]
struct Lease {
    id: ConnectionId,
    pod: ObjectName,
    client: IpAddr,
    killed: CancellationToken,
    state: watch::Sender<State>,
    /// Milliseconds from `made` to its last use.
    used: AtomicU64,
    made: Instant,
}

/// How far a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is asked for.
    Asked,
    /// The network lets the pod pass.
    Held,
    /// The network does not.
    Refused(Denied),
}

/// What the far end of a connection has to say, and how it learns that the near end is gone: when that one's pod goes,
/// nothing of it may come through the network any more.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    nonce: Nonce,
    given_up: CancellationToken,
}

/// The addresses of a connection that is to prove a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) client: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Waits until the network lets the pod that opened a connection reach `destination`, or is known not to.
pub(super) async fn lease(arrival: &Arrival, destination: SocketAddr, lane: &Rc<Lane>) -> Result<(), Denied> {
    let between = Between::new(arrival, destination);
    let lease = lane.shared.leases.get(between, arrival, lane);
    lease.touch();
    // Nearly always, and then without a subscription.
    if *lease.state.borrow() == State::Held {
        return Ok(());
    }
    let mut state = lease.state.subscribe();
    let state = state.wait_for(|state| *state != State::Asked).await;
    match state.map(|state| *state) {
        Ok(State::Held) => Ok(()),
        Ok(State::Refused(denied)) => Err(denied),
        // The sender lives as long as `lease`; a state that is waited for is another.
        Ok(State::Asked) | Err(_) => Err(Denied::PathRefused),
    }
}

// === impl Between ===

impl Between {
    pub(super) fn new(arrival: &Arrival, destination: SocketAddr) -> Self {
        Self {
            source: arrival.door().pod.uid.clone(),
            destination,
        }
    }
}

// === impl Leases ===

impl Leases {
    /// What is held or asked for, as `weft debug conn show` prints it.
    pub(super) fn show(&self) -> Vec<LiveConnection> {
        let held = lock(&self.held);
        held.iter().filter_map(|(between, lease)| lease.show(between)).collect()
    }

    /// Gives one up; false when there is none of this name.
    pub(super) fn kill(&self, id: ConnectionId) -> bool {
        let held = lock(&self.held);
        let lease = held.values().find(|lease| lease.id == id);
        lease.inspect(|lease| lease.killed.cancel()).is_some()
    }

    /// The lease, asked for where there is none.
    fn get(&self, between: Between, arrival: &Arrival, lane: &Rc<Lane>) -> Arc<Lease> {
        let mut held = lock(&self.held);
        if let Some(lease) = held.get(&between) {
            return lease.clone();
        }
        let lease = Arc::new(Lease::new(lane.next_id(), arrival));
        held.insert(between.clone(), lease.clone());
        drop(held);
        let near = Near {
            door: arrival.door().clone(),
            ip: arrival.client.ip(),
        };
        spawn_local(keep(between, lease.clone(), near, lane.clone()));
        lease
    }

    pub(super) fn forget(&self, between: &Between) {
        lock(&self.held).remove(between);
    }

    /// What is to be said on a connection that this agent makes to prove a lease, once.
    pub(super) fn claim(&self, tuple: Tuple) -> Option<Claim> {
        lock(&self.on_their_way).remove(&tuple)
    }
}

// === impl Lease ===

impl Lease {
    fn new(id: ConnectionId, arrival: &Arrival) -> Self {
        Self {
            id,
            pod: arrival.door().pod.name.clone(),
            client: arrival.client.ip(),
            killed: CancellationToken::new(),
            state: watch::Sender::new(State::Asked),
            used: AtomicU64::new(0),
            made: Instant::now(),
        }
    }

    fn show(&self, between: &Between) -> Option<LiveConnection> {
        let phase = match *self.state.borrow() {
            State::Asked => Phase::Connecting,
            State::Held => Phase::Leased,
            State::Refused(_) => return None,
        };
        Some(LiveConnection {
            id: self.id,
            direction: Direction::Local,
            phase,
            source: SocketAddr::new(self.client, 0),
            source_pod: Some(self.pod.to_string()),
            original_destination: between.destination,
            service: None,
            destination: Some(between.destination),
            destination_pod: None,
            security: Some(Security::SameNode),
            source_identity: None,
            destination_identity: None,
            policy: None,
            age_ms: u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_sent: 0,
            bytes_received: 0,
            request: None,
        })
    }

    fn touch(&self) {
        let used = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(used, Relaxed);
    }

    fn last_used(&self) -> Instant {
        self.made + Duration::from_millis(self.used.load(Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

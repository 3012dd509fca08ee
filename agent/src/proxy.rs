//! The L4 proxy: carries every connection of the node's enrolled pods.
//!
//! ```text
//! accept → capture → identify → authorise → detect → route → balance → connect → copy → report
//!          Captured  Identified  Permit     Protocol Route   Picked    Upstream  End    Report
//! ```
//!
//! `outbound` and `inbound` read as that sentence. Connections live on lanes: threads with a runtime each, where a
//! connection stays from its accept to its report, so that nothing of it needs a lock.

mod accept;
mod affinity;
mod authorise;
mod balance;
mod capacity;
mod captured;
mod carrier;
mod connect;
mod copy;
mod detect;
mod dial;
mod door;
mod http;
mod identify;
mod inbound;
mod lane;
mod lease;
mod live;
mod met;
mod open;
mod outbound;
mod pool;
mod recognise;
mod route;
mod settings;
mod stream;
mod streams;
mod trouble;
pub mod wire;

use std::{
    collections::HashMap,
    io,
    pin::pin,
    sync::{Arc, PoisonError, RwLock, Weak, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout,
};

pub use capacity::raise_descriptor_limit;
pub use detect::{HttpVersion, MOST, Sniffed, sniff, version_of};
pub use door::{Closing, Door, Hold, Listeners, Pair};
pub use http::bytes;
pub use settings::{HttpLimits, Pooling, SameNode, Settings};

use self::{
    balance::Loads,
    capacity::Capacity,
    door::OpenDoor,
    lane::{LaneHandle, Letter},
    lease::Leases,
    met::Met,
};
use crate::{
    model::{Mesh, PodUid},
    net::SourcePorts,
    telemetry::{ConnectionId, Denied, LiveConnection, Telemetry},
    tls::Identities,
};

/// The running proxy. Dropping it cuts what is left and ends its threads.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    lanes: Vec<LaneHandle>,
}

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The limit on descriptors cannot be read.
    #[error("cannot read the limit on descriptors")]
    DescriptorLimit(#[source] io::Error),
    /// A lane cannot start.
    #[error("cannot start lane {index}")]
    Lane {
        /// Which one.
        index: usize,
        /// Why.
        source: io::Error,
    },
}

/// What all lanes see.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    mesh: watch::Receiver<Arc<Mesh>>,
    identities: Identities,
    telemetry: Telemetry,
    leases: Leases,
    met: Met,
    spoken: detect::Memory,
    capacity: Capacity,
    /// Kept alive by the listeners and connections of the pod: one that leaves is reached here as long as it serves.
    doors: RwLock<HashMap<PodUid, Weak<OpenDoor>>>,
    door_opened: Notify,
    ports: SourcePorts,
    loads: Loads,
    next_id: AtomicU64,
}

// === impl Proxy ===

impl Proxy {
    /// Starts the lanes. The limit on connections follows from the process's limit on descriptors at this moment.
    pub fn start(
        settings: Settings,
        mesh: watch::Receiver<Arc<Mesh>>,
        identities: Identities,
        telemetry: Telemetry,
    ) -> Result<Self, ProxyError> {
        let shared = Arc::new(Shared {
            capacity: Capacity::new(&settings).map_err(ProxyError::DescriptorLimit)?,
            ports: SourcePorts::new(settings.leg_ports.clone()),
            met: Met::new(settings.peer_memory),
            spoken: detect::Memory::default(),
            settings,
            mesh,
            identities,
            telemetry,
            leases: Leases::default(),
            doors: RwLock::default(),
            door_opened: Notify::new(),
            loads: Loads::default(),
            next_id: AtomicU64::new(1),
        });
        let lanes = lane::start(&shared)?;
        Ok(Self { shared, lanes })
    }

    /// Accepts the connections of a captured pod from here on.
    pub fn open(&self, door: Door) {
        let Some(lane) = self.lanes.iter().min_by_key(|lane| lane.load().doors()) else {
            return;
        };
        let Door {
            pod,
            netns,
            listeners,
            hold,
        } = door;
        let uid = pod.uid.clone();
        let door = Arc::new(OpenDoor::new(
            pod,
            netns,
            hold,
            lane.load().seat_door(&self.shared.capacity),
        ));
        self.write_doors(|doors| {
            doors.retain(|_, door| door.strong_count() > 0);
            doors.insert(uid, Arc::downgrade(&door));
        });
        self.shared.door_opened.notify_waiters();
        lane.send(Letter::Open { door, listeners });
    }

    /// Accepts no more connections of a pod.
    ///
    /// What its listeners have queued is still accepted when it leaves the mesh; when it is gone, its connections are
    /// cut.
    pub fn close(&self, uid: &PodUid, closing: Closing) {
        let door = self.write_doors(|doors| match closing {
            Closing::Gone => doors.remove(uid),
            Closing::Leave => doors.get(uid).cloned(),
        });
        if let Some(door) = door.and_then(|door| door.upgrade()) {
            if closing == Closing::Gone {
                door.shut();
            }
            door.closing.cancel();
        }
        for lane in &self.lanes {
            lane.send(Letter::Close {
                uid: uid.clone(),
                closing,
            });
        }
    }

    /// All open connections, what waits in pools, and leases, in the order of their ids.
    pub async fn connections(&self) -> Vec<LiveConnection> {
        let mut connections = Vec::new();
        for lane in &self.lanes {
            connections.extend(lane.ask(Letter::Show).await.unwrap_or_default());
        }
        connections.extend(self.shared.leases.show());
        connections.sort_by_key(|connection| connection.id);
        connections
    }

    /// Cuts one connection; false when there is none of this name.
    pub async fn kill(&self, id: ConnectionId) -> bool {
        for lane in &self.lanes {
            if lane.ask(|answer| Letter::Kill { id, answer }).await == Ok(true) {
                return true;
            }
        }
        self.shared.leases.kill(id)
    }

    /// Goes on as before, but for what is kept for later; returns when all connections are over that were open at first.
    pub async fn wind_down(&self) {
        self.ask_all(Letter::WindDown).await;
    }

    /// Stops in two phases: serves what the listeners have queued and closes them, lets connections go on for `grace`,
    /// and cuts the rest.
    ///
    /// For the answers of those that are still without one it is waited longer, for `patience` at most, and then they have
    /// as much time as the others had: no connection is cut for being the last one.
    pub async fn drain(&self, grace: Duration, patience: Duration) {
        self.ask_all(Letter::StopAccepting).await;
        if timeout(grace, self.ask_all(Letter::WhenEmpty)).await.is_ok() {
            return;
        }
        let last = async {
            let waited = self.ask_all(Letter::WhenAnswered).await;
            if waited.contains(&true) {
                // Either all are over then or their time is.
                let _ = timeout(grace, self.ask_all(Letter::WhenEmpty)).await;
            }
        };
        // What is left is cut, whether all was answered or not.
        let _ = timeout(patience, last).await;
        for lane in &self.lanes {
            lane.send(Letter::CutAll(Denied::Drained));
        }
        self.ask_all(Letter::WhenEmpty).await;
    }

    /// Asks every lane at once and waits for all.
    async fn ask_all<T>(&self, letter: fn(oneshot::Sender<T>) -> Letter) -> Vec<T> {
        let asked: Vec<_> = self.lanes.iter().map(|lane| lane.ask(letter)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            // A lane that has ended has neither listeners nor connections.
            answers.extend(answer.await);
        }
        answers
    }

    fn write_doors<T>(&self, change: impl FnOnce(&mut HashMap<PodUid, Weak<OpenDoor>>) -> T) -> T {
        change(&mut self.shared.doors.write().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Shared ===

impl Shared {
    /// The mesh of this moment; a connection asks once.
    fn mesh(&self) -> Arc<Mesh> {
        self.mesh.borrow().clone()
    }

    /// Whether the deny-list names a pod of this node.
    fn denies(&self, door: &OpenDoor) -> bool {
        self.identities
            .of(&door.pod.uid)
            .is_some_and(|own| self.identities.refuses(&own.as_peer()))
    }

    /// The door of an enrolled pod of this node. One that is just being captured is waited for, shortly.
    async fn door_soon(&self, uid: &PodUid) -> Option<Arc<OpenDoor>> {
        let opened = async {
            loop {
                // Register before the check, so that the opening is not missed.
                let mut notified = pin!(self.door_opened.notified());
                notified.as_mut().enable();
                if let Some(door) = self.door(uid) {
                    return door;
                }
                notified.await;
            }
        };
        match self.door(uid) {
            Some(door) => Some(door),
            None => timeout(CAPTURING, opened).await.ok(),
        }
    }

    fn door(&self, uid: &PodUid) -> Option<Arc<OpenDoor>> {
        self.doors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)?
            .upgrade()
    }
}

/// How long the capture of a pod may take that the mesh knows already: in a moment, or not at all.
const CAPTURING: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;

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
mod connect;
mod copy;
mod detect;
mod door;
mod identify;
mod inbound;
mod lane;
mod live;
mod outbound;
mod route;
mod settings;
mod stream;
mod trouble;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock, Weak, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

pub use capacity::raise_descriptor_limit;
pub use door::{Closing, Door, Hold, Listeners, Pair};
pub use settings::Settings;

use self::{
    balance::Loads,
    capacity::Capacity,
    door::OpenDoor,
    lane::{LaneHandle, Letter},
};
use crate::{
    model::{Mesh, PodUid},
    net::SourcePorts,
    telemetry::{ConnectionId, Denied, LiveConnection, Telemetry},
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
    telemetry: Telemetry,
    capacity: Capacity,
    /// Kept alive by the listeners and connections of the pod: one that leaves is reached here as long as it serves.
    doors: RwLock<HashMap<PodUid, Weak<OpenDoor>>>,
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
        telemetry: Telemetry,
    ) -> Result<Self, ProxyError> {
        let shared = Arc::new(Shared {
            capacity: Capacity::new(&settings).map_err(ProxyError::DescriptorLimit)?,
            settings,
            mesh,
            telemetry,
            doors: RwLock::default(),
            ports: SourcePorts::default(),
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
        lane.send(Letter::Open { door, listeners });
    }

    /// Accepts no more connections of a pod.
    ///
    /// What its listeners have queued is still accepted when it leaves the mesh; when it is gone, its connections are
    /// cut.
    pub fn close(&self, uid: &PodUid, closing: Closing) {
        if closing == Closing::Gone {
            let door = self.write_doors(|doors| doors.remove(uid));
            door.and_then(|door| door.upgrade()).inspect(|door| door.shut());
        }
        for lane in &self.lanes {
            lane.send(Letter::Close {
                uid: uid.clone(),
                closing,
            });
        }
    }

    /// All open connections, in the order in which they were accepted.
    pub async fn connections(&self) -> Vec<LiveConnection> {
        let mut connections = Vec::new();
        for lane in &self.lanes {
            connections.extend(lane.ask(Letter::Show).await.unwrap_or_default());
        }
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
        false
    }

    /// Stops in two phases: serves what the listeners have queued and closes them, lets connections go on for `grace`,
    /// and cuts the rest.
    pub async fn drain(&self, grace: Duration) {
        self.ask_all(Letter::StopAccepting).await;
        if timeout(grace, self.ask_all(Letter::WhenEmpty)).await.is_err() {
            for lane in &self.lanes {
                lane.send(Letter::CutAll(Denied::Drained));
            }
            self.ask_all(Letter::WhenEmpty).await;
        }
    }

    /// Asks every lane at once and waits for all.
    async fn ask_all(&self, letter: fn(oneshot::Sender<()>) -> Letter) {
        let answers: Vec<_> = self.lanes.iter().map(|lane| lane.ask(letter)).collect();
        for answer in answers {
            // A lane that has ended has neither listeners nor connections.
            let _ = answer.await;
        }
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

    fn door(&self, uid: &PodUid) -> Option<Arc<OpenDoor>> {
        self.doors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)?
            .upgrade()
    }
}

#[cfg(test)]
mod tests;

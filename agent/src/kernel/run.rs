//! The one task that writes: it follows the mesh, the pods' namespaces and the kubelet until it is told to stop.

use std::{
    future,
    sync::Arc,
    time::{Duration, Instant},
};

use agent_common::MeshId;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Change, Kernel, Readers, SandboxNews, apply::said, capture::Tell, desired::Desired};
use crate::model::{Mesh, PodUid};

/// What the room follows.
#[derive(Debug)]
pub struct Inputs {
    /// The mesh.
    pub mesh: watch::Receiver<Arc<Mesh>>,
    /// By which id its agents greet each other.
    pub mesh_id: watch::Receiver<Option<MeshId>>,
    /// What the container runtime says of pods' sandboxes.
    pub sandboxes: mpsc::Receiver<SandboxNews>,
}

/// Nobody wants to know of changes any longer: the agent ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

// === impl Stopped ===

impl<T> From<mpsc::error::SendError<T>> for Stopped {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

impl From<watch::error::RecvError> for Stopped {
    fn from(_: watch::error::RecvError) -> Self {
        Self
    }
}

// === impl Kernel ===

impl Kernel {
    /// Keeps the kernel as the mesh says until `stop`, then takes the listeners back: pods that fail open pass by the
    /// agent from then on, the others wait for the next one. What is pinned stays.
    ///
    /// A mesh of generation 0 is none: nothing is done before the first real one. While the mesh's id is not known, the
    /// last one known holds, that of an agent before this one among them; without any nobody is greeted.
    pub async fn run(mut self, mut inputs: Inputs, changes: mpsc::Sender<Change>, stop: CancellationToken) {
        let mut beside = JoinSet::new();
        tokio::select! {
            () = stop.cancelled() => {}
            _stopped = self.follow(&mut inputs, &changes, &mut beside) => {}
        }
        beside.shutdown().await;
        self.suspend().await;
    }

    async fn follow(
        &mut self,
        inputs: &mut Inputs,
        changes: &mpsc::Sender<Change>,
        beside: &mut JoinSet<()>,
    ) -> Result<(), Stopped> {
        let Inputs {
            mesh,
            mesh_id,
            sandboxes,
        } = inputs;
        let (moved, mut moves) = mpsc::unbounded_channel();
        let (released, mut releases) = mpsc::unbounded_channel();
        let tell = Tell { moved, released };
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);

        self.greet_as(*mesh_id.borrow_and_update());
        let first = mesh
            .wait_for(|mesh| mesh.generation > 0)
            .await
            .map(|mesh| Arc::clone(&mesh));
        let mut current = first?;
        let mut desired = self.adopt(&current);
        self.reconcile(&desired, changes, &tell).await?;
        said("Enrolled namespaces cannot be looked through", self.forget_strangers());
        // From here on connections are marked: whoever is to be captured has somebody who listens.
        self.readers
            .take()
            .into_iter()
            .for_each(|readers| readers.spawn(self, beside));

        loop {
            self.end_plaintext(&current);
            tokio::select! {
                changed = mesh.changed() => {
                    changed?;
                    current = Arc::clone(&mesh.borrow_and_update());
                    desired = self.adopt(&current);
                    self.reconcile(&desired, changes, &tell).await?;
                }
                id = next(mesh_id) => self.greet_as(id),
                Some(moved) = moves.recv() => {
                    self.follow_addresses(moved, &desired, changes).await?;
                    self.reconcile(&desired, changes, &tell).await?;
                }
                Some(news) = sandboxes.recv() => {
                    self.hear(news, &desired, changes).await?;
                    self.reconcile(&desired, changes, &tell).await?;
                }
                Some(released) = releases.recv() => self.released(released),
                () = sleep_until(self.next_try().into()) => {
                    self.reconcile(&desired, changes, &tell).await?;
                }
                _ = look.tick() => {
                    said("Kubelet cannot be followed", self.programs.follow_kubelet(&self.object, &mut self.maps));
                    let followed = self.programs.follow_balancers(&self.object, &mut self.maps);
                    said("Load balancers of others cannot be followed", followed);
                    self.end_moved(&desired, changes).await?;
                    self.reconcile(&desired, changes, &tell).await?;
                }
            }
        }
    }

    fn adopt(&mut self, mesh: &Mesh) -> Desired {
        self.generation = mesh.generation;
        let desired = Desired::of(mesh);
        self.udp_egress = desired.udp_egress;
        let has = |uid: &PodUid| desired.pods.contains_key(uid) || desired.others.contains_key(uid);
        Arc::make_mut(&mut self.sandboxes).follow(has);
        desired
    }

    /// Has the agent's sockets greet in the name of this mesh.
    fn greet_as(&mut self, id: Option<MeshId>) {
        let Some(id) = id else {
            return;
        };
        let told = self.maps.know_mesh(id);
        if told.is_ok() {
            tracing::debug!(mesh = %id, "Agents of this mesh are greeted");
        }
        said("The id of the mesh cannot be told to the kernel programs", told);
    }

    fn next_try(&self) -> Instant {
        let next = self.waiting.values().map(super::locate::Waiting::next).min();
        next.unwrap_or_else(|| Instant::now() + LOOK)
    }
}

// === impl Readers ===

impl Readers {
    fn spawn(self, kernel: &Kernel, beside: &mut JoinSet<()>) {
        let Self {
            heartbeat,
            drops,
            lines,
        } = self;
        beside.spawn(heartbeat.beat());
        beside.spawn(drops.forward(kernel.dropped.clone()));
        if let Some(lines) = lines {
            beside.spawn(lines.forward());
        }
    }
}

/// Waits for the next value, for ever when nobody sends any longer.
async fn next<T: Copy>(values: &mut watch::Receiver<T>) -> T {
    match values.changed().await {
        Ok(()) => *values.borrow_and_update(),
        Err(_) => future::pending().await,
    }
}

/// How often it is looked whether namespaces and the kubelet are where they were.
const LOOK: Duration = Duration::from_secs(2);

//! What the agent of a node follows, and the mesh that comes of it.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Builder,
    sync::{oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    super::{
        Contact, LastKnown, Update,
        api::ApiServer,
        assemble::assemble,
        check::check,
        objects::{Kind, Scope},
        slices::Backends,
    },
    Pace, Subject, World,
};
use crate::model::{Contents, Mesh, Problem};

/// Why an API server cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread that follows it cannot be started.
    #[error("cannot start the thread that follows the API server")]
    Thread(#[source] io::Error),
    /// That thread has ended.
    #[error("the thread that follows the API server has ended")]
    Ended,
}

/// Follows what the agent of `node` must know of the cluster.
///
/// It returns when every kind was told in full once: before, no verdict is possible. Where an earlier mesh is known, it
/// waits for a few seconds only; that mesh is used until then. A thread of its own writes the later ones; it ends when all
/// receivers are gone.
pub async fn follow(
    api: ApiServer,
    node: &str,
    last_known: Option<LastKnown>,
) -> Result<watch::Receiver<Update>, Error> {
    follow_at(api, node, last_known, Pace::default()).await
}

/// The same, at another pace.
pub(super) async fn follow_at(
    api: ApiServer,
    node: &str,
    last_known: Option<LastKnown>,
    pace: Pace,
) -> Result<watch::Receiver<Update>, Error> {
    let (first, begun) = oneshot::channel();
    let node: Arc<str> = node.into();
    // Large lists take a while to decode: nothing else waits for it.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Thread)?;
    let run = move || {
        runtime.block_on(async {
            let world = World::follow(&api, subjects(&node), Scope::Cluster, pace);
            Follower::new(world, node, last_known).run(first, pace.patience).await;
        });
    };
    thread::Builder::new()
        .name("api-server".into())
        .spawn(run)
        .map_err(Error::Thread)?;
    begun.await.map_err(|_closed| Error::Ended)
}

/// Of pods those of the node only: no agent watches the pods of the cluster.
fn subjects(node: &str) -> Vec<Subject> {
    let others = [
        Kind::Namespace,
        Kind::Node,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::MeshConfig,
        Kind::AuthenticationPolicy,
        Kind::AuthorizationPolicy,
        Kind::NetworkPolicy,
        Kind::GrpcRoute,
        Kind::HttpRoute,
        Kind::TlsRoute,
        Kind::TcpRoute,
    ];
    let others = others.into_iter().map(Subject::all);
    others.chain([Subject::pods_of(node)]).collect()
}

/// The thread's state: the one writer of the mesh.
struct Follower {
    world: World,
    node: Arc<str>,
    /// What is used until the world is complete.
    last_known: Option<LastKnown>,
    /// What does not fit together.
    found: Vec<Problem>,
    /// How long the last mesh took to build.
    effort: Duration,
}

// === impl Follower ===

impl Follower {
    fn new(world: World, node: Arc<str>, last_known: Option<LastKnown>) -> Self {
        Self {
            world,
            node,
            last_known,
            found: Vec::new(),
            effort: Duration::ZERO,
        }
    }

    /// Runs until nobody listens any more.
    async fn run(mut self, first: oneshot::Sender<watch::Receiver<Update>>, patience: Duration) {
        self.begin(patience).await;
        let (updates, receiver) = watch::channel(self.first());
        if first.send(receiver).is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = updates.closed() => return,
                () = self.step(&updates) => {}
            }
        }
    }

    /// Waits until there is something to begin with.
    async fn begin(&mut self, patience: Duration) {
        let patience = match self.last_known {
            Some(_) => patience,
            None => Duration::MAX,
        };
        let complete = async {
            let mut remind = Instant::now() + REMINDER;
            while !self.world.is_complete() {
                tokio::select! {
                    _ = self.world.changed(BATCH) => {}
                    () = sleep_until(remind) => {
                        remind += REMINDER;
                        let missing: Vec<&str> = self.world.missing().collect();
                        tracing::info!(missing = missing.join(","), "Waiting for the API server's first lists");
                    }
                }
            }
        };
        // With or without an end, what is there is what the mesh begins with.
        let _ = timeout(patience, complete).await;
    }

    fn first(&mut self) -> Update {
        let contents = match &self.last_known {
            Some(known) if !self.world.is_complete() => known.contents.clone(),
            Some(_) | None => self.build(),
        };
        Update {
            mesh: Arc::new(Mesh::new(Contents {
                generation: 1,
                ..contents
            })),
            problems: self.problems(),
            contact: self.contact(),
        }
    }

    async fn step(&mut self, updates: &watch::Sender<Update>) {
        let changed = self.world.changed(BATCH.max(self.effort * LEISURE)).await;
        if !self.world.is_complete() {
            return;
        }
        let mut next = updates.borrow().clone();
        let begun = Instant::now();
        if changed.objects
            && let Some(mesh) = next.mesh.changed(self.build())
        {
            next.mesh = Arc::new(mesh);
        }
        self.effort = begun.elapsed();
        next.problems = self.problems();
        next.contact = self.contact();
        updates.send_if_modified(|update| {
            let differs = update.mesh.generation != next.mesh.generation
                || update.problems != next.problems
                || update.contact != next.contact;
            *update = next;
            differs
        });
    }

    /// What the mesh is built from; from then on nothing older counts.
    fn build(&mut self) -> Contents {
        self.last_known = None;
        let objects = self.world.objects();
        let backends = Backends::new(&objects);
        let found = check(&objects, &backends).into_iter();
        self.found = found.map(|(key, finding)| finding.of(&key)).collect();
        assemble(&objects, &backends, &self.node)
    }

    fn problems(&self) -> Arc<[Problem]> {
        self.world.problems().chain(&self.found).cloned().collect()
    }

    fn contact(&self) -> Contact {
        match &self.last_known {
            Some(known) => Contact::Lost { since: known.confirmed },
            None => self.world.contact(),
        }
    }
}

/// How long a change waits for more of them: a deployment's come together.
const BATCH: Duration = Duration::from_millis(50);

/// A batch is at least so many times as long as the last mesh took to build: no storm of changes takes a whole core.
const LEISURE: u32 = 4;

/// How often it is said which lists lack.
const REMINDER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

//! Lanes: threads that carry connections, a runtime each.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc as sync_mpsc,
    },
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{mpsc, oneshot},
    task::{JoinSet, spawn_local},
};
use tokio_util::sync::CancellationToken;

use super::{
    Closing, Listeners, ProxyError, Shared, accept,
    capacity::{CHUNK, LaneLoad},
    captured::InTransit,
    door::OpenDoor,
    http::{Legs, Mirrors, Paces},
    live::Registry,
    pool::Pool,
};
use crate::{
    model::PodUid,
    telemetry::{ConnectionId, Denied, LiveConnection},
};

/// What a lane is told.
#[derive(Debug)]
pub(super) enum Letter {
    /// Accept at these listeners.
    Open {
        /// Whose they are.
        door: Arc<OpenDoor>,
        /// The listeners.
        listeners: Listeners,
    },
    /// Close a pod's listeners.
    Close {
        /// Whose.
        uid: PodUid,
        /// Why.
        closing: Closing,
    },
    /// Carry a connection which another lane accepted.
    Carry(Box<InTransit>),
    /// Say what is open.
    Show(oneshot::Sender<Vec<LiveConnection>>),
    /// Cut one connection and say whether it was here.
    Kill {
        /// Which one.
        id: ConnectionId,
        /// Whether it was here.
        answer: oneshot::Sender<bool>,
    },
    /// Keep no connections for later any more, and say when all are over that are open at this moment.
    WindDown(oneshot::Sender<()>),
    /// Close all listeners when their queues are empty, and say when it is done.
    StopAccepting(oneshot::Sender<()>),
    /// Say when no connection is left.
    WhenEmpty(oneshot::Sender<()>),
    /// Say when each connection that is left was answered by its upstream, and whether that was to be waited for.
    WhenAnswered(oneshot::Sender<bool>),
    /// Cut all connections.
    CutAll(Denied),
    /// Cut all connections and end.
    End,
}

/// A lane as other threads see it.
#[derive(Debug)]
pub(super) struct LaneHandle {
    post: Post,
    thread: Option<JoinHandle<()>>,
}

/// A lane's mailbox, and how much it carries.
#[derive(Clone, Debug)]
pub(super) struct Post {
    letters: mpsc::UnboundedSender<Letter>,
    load: LaneLoad,
}

/// A lane as its own connections see it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) load: LaneLoad,
    pub(super) registry: Rc<Registry>,
    /// What every connection of the lane reads into; nothing stays in it over an await.
    pub(super) chunk: RefCell<Box<[u8]>>,
    /// What a connection between agents brings, decrypted; as `chunk`.
    pub(super) plain: RefCell<Vec<u8>>,
    /// What goes by a connection between agents, encrypted; as `chunk`.
    pub(super) sealed: RefCell<Vec<u8>>,
    pub(super) pool: Pool,
    /// Connections that wait for their next request.
    pub(super) legs: Legs,
    /// Connections whose requests are served.
    pub(super) paces: Paces,
    /// Copies of requests under way.
    pub(super) mirrors: Mirrors,
    /// Cancelled when the agent drains: connections between agents end with their streams then.
    pub(super) stopping: CancellationToken,
    others: Vec<Post>,
}

/// The listeners of one pod.
#[derive(Debug, Default)]
struct Accepting {
    stop: CancellationToken,
    loops: JoinSet<()>,
}

/// Starts all lanes.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Vec<LaneHandle>, ProxyError> {
    let (posts, mailboxes): (Vec<_>, Vec<_>) = (0..shared.settings.lanes.get()).map(|_| Post::new()).unzip();
    mailboxes
        .into_iter()
        .enumerate()
        .map(|(index, mailbox)| {
            start_lane(index, shared.clone(), &posts, mailbox).map_err(|source| ProxyError::Lane { index, source })
        })
        .collect()
}

// === impl Post ===

impl Post {
    fn new() -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (letters, mailbox) = mpsc::unbounded_channel();
        let post = Self {
            letters,
            load: LaneLoad::default(),
        };
        (post, mailbox)
    }

    /// Tells the lane. A lane ends after its handle only: whatever comes later is about connections that are cut.
    pub(super) fn send(&self, letter: Letter) {
        let _ = self.letters.send(letter);
    }

    /// How much the lane carries.
    pub(super) fn load(&self) -> &LaneLoad {
        &self.load
    }
}

// === impl LaneHandle ===

impl LaneHandle {
    /// How much the lane carries.
    pub(super) fn load(&self) -> &LaneLoad {
        self.post.load()
    }

    /// Tells the lane.
    pub(super) fn send(&self, letter: Letter) {
        self.post.send(letter);
    }

    /// Asks the lane at once; the answer is to be awaited. An error says that the lane has ended.
    pub(super) fn ask<T>(&self, letter: impl FnOnce(oneshot::Sender<T>) -> Letter) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.send(letter(answer));
        answered
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.send(Letter::End);
        if let Some(thread) = self.thread.take() {
            // A panic of the lane has already been printed by its thread.
            let _ = thread.join();
        }
    }
}

// === impl Lane ===

impl Lane {
    /// A name for a new connection.
    pub(super) fn next_id(&self) -> ConnectionId {
        let ids: &AtomicU64 = &self.shared.next_id;
        ConnectionId(ids.fetch_add(1, Relaxed))
    }

    /// The lane that should carry the next connection instead of this one: the least busy, if this one is much busier.
    pub(super) fn less_busy(&self) -> Option<&Post> {
        let least = self.others.iter().min_by_key(|post| post.load.connections())?;
        let much_busier = least.load.connections() * 3 / 2 + 16;
        (self.load.connections() > much_busier).then_some(least)
    }

    /// Judges every connection anew, and what waits in the pool.
    fn judge(&self) {
        let mesh = self.shared.mesh();
        self.registry.judge(&mesh, &self.shared);
        self.pool.follow(&mesh, self);
        self.legs.retain(self);
    }

    /// Closes what waits for its next use; from here on nothing does.
    fn keep_nothing(self: &Rc<Self>) {
        self.stopping.cancel();
        self.pool.close_all(self);
        self.legs.close_all();
    }

    async fn run(self: Rc<Self>, mut mailbox: mpsc::UnboundedReceiver<Letter>) {
        let mut pods: HashMap<PodUid, Accepting> = HashMap::new();
        let mut mesh = self.shared.mesh.clone();
        let mut trust = self.shared.identities.changes();
        loop {
            let letter = tokio::select! {
                letter = mailbox.recv() => letter,
                // Either sender lives as long as the agent.
                Ok(()) = mesh.changed() => { self.judge(); continue }
                Ok(()) = trust.changed() => { self.judge(); continue }
            };
            let Some(letter) = letter else { break };
            match letter {
                Letter::Open { door, listeners } => {
                    let accepting = Accepting::start(&self, &door, listeners);
                    pods.insert(door.pod.uid.clone(), accepting);
                }
                Letter::Close { uid, closing } => {
                    let accepting = pods.remove(&uid);
                    match closing {
                        Closing::Leave => {
                            self.pool.close_pod(&uid, &self);
                            self.legs.close_pod(&uid);
                            accepting.map(|accepting| spawn_local(accepting.finish()));
                        }
                        Closing::Gone => {
                            drop(accepting);
                            self.registry.cut_pod(&uid);
                            self.pool.cut_pod(&uid);
                            self.legs.cut_pod(&uid);
                        }
                    }
                }
                Letter::Carry(connection) => accept::arrive(&self, *connection),
                // Whoever asked may have gone; then nobody wants the answer.
                Letter::Show(answer) => {
                    drop(answer.send([self.registry.show(), self.pool.show(), self.legs.show()].concat()));
                }
                Letter::Kill { id, answer } => {
                    let _ = answer.send(self.registry.kill(id) || self.pool.kill(id, &self) || self.legs.kill(id));
                }
                Letter::WindDown(done) => {
                    self.keep_nothing();
                    let registry = self.registry.clone();
                    spawn_local(async move {
                        registry.turned_over().await;
                        let _ = done.send(());
                    });
                }
                Letter::StopAccepting(done) => {
                    self.keep_nothing();
                    let mut closing: JoinSet<()> = JoinSet::new();
                    for (_, accepting) in pods.drain() {
                        closing.spawn_local(accepting.finish());
                    }
                    spawn_local(async move {
                        closing.join_all().await;
                        let _ = done.send(());
                    });
                }
                Letter::WhenEmpty(done) => {
                    let registry = self.registry.clone();
                    spawn_local(async move {
                        registry.empty().await;
                        let _ = done.send(());
                    });
                }
                Letter::WhenAnswered(done) => {
                    let registry = self.registry.clone();
                    spawn_local(async move {
                        let _ = done.send(registry.answered().await);
                    });
                }
                Letter::CutAll(denied) => self.registry.cut_all(denied),
                Letter::End => break,
            }
        }
        drop(pods);
        self.registry.cut_all(Denied::Drained);
        self.registry.empty().await;
    }
}

// === impl Accepting ===

impl Accepting {
    fn start(lane: &Rc<Lane>, door: &Arc<OpenDoor>, listeners: Listeners) -> Self {
        let mut accepting = Self::default();
        for listener in accept::listeners(listeners, lane.shared.settings.liveness) {
            match listener {
                Ok(listener) => {
                    let stop = accepting.stop.clone();
                    accepting
                        .loops
                        .spawn_local(listener.accept_until(stop, door.clone(), lane.clone()));
                }
                Err(error) => {
                    tracing::error!(%error, pod = %door.pod.name, "A listener cannot be registered");
                }
            }
        }
        accepting
    }

    /// Lets the loops empty their queues and end.
    async fn finish(self) {
        self.stop.cancel();
        self.loops.join_all().await;
    }
}

fn start_lane(
    index: usize,
    shared: Arc<Shared>,
    posts: &[Post],
    mailbox: mpsc::UnboundedReceiver<Letter>,
) -> io::Result<LaneHandle> {
    let post = posts[index].clone();
    let others = posts.iter().enumerate().filter(|(other, _)| *other != index);
    let others: Vec<Post> = others.map(|(_, post)| post.clone()).collect();
    let load = post.load.clone();
    let (started, starting) = sync_mpsc::channel();
    let thread = thread::Builder::new().name(format!("lane-{index}")).spawn(move || {
        // A local runtime is bound to its thread, so it is built there.
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        let lane = Rc::new(Lane {
            shared,
            load,
            registry: Rc::default(),
            chunk: RefCell::new(vec![0; CHUNK].into_boxed_slice()),
            plain: RefCell::default(),
            sealed: RefCell::default(),
            pool: Pool::default(),
            legs: Legs::default(),
            paces: Paces::default(),
            mirrors: Mirrors::default(),
            stopping: CancellationToken::new(),
            others,
        });
        let _ = started.send(Ok(()));
        runtime.block_on(lane.run(mailbox));
    })?;
    starting.recv().map_err(io::Error::other)??;
    Ok(LaneHandle {
        post,
        thread: Some(thread),
    })
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

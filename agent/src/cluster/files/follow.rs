//! Following a folder: inotify says when to look, a slow rescan finds what it misses.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::watch;

use super::{super::assemble::assemble, Error, Update, folder::Folder};
use crate::model::{Contents, Mesh};

/// Reads a folder of manifests as the agent of `node` and follows it.
///
/// What is returned already holds the first full list. A thread of its own writes the later ones; it ends when all
/// receivers are gone.
pub fn follow(path: &Path, node: &str) -> Result<watch::Receiver<Update>, Error> {
    // Watched before it is read, so that no change falls between the two.
    let (wake, woken) = mpsc::channel();
    let watched = Watched::new(path.to_path_buf(), wake)?;
    let folder = Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let node: Arc<str> = node.into();
    let contents = Contents {
        generation: 1,
        ..assemble(&folder.collected().objects, &node)
    };
    let first = Update {
        mesh: Arc::new(Mesh::new(contents)),
        problems: folder.collected().problems.clone().into(),
    };
    let (updates, receiver) = watch::channel(first);
    let follower = Follower {
        folder,
        node,
        watched,
        woken,
        updates,
    };
    thread::Builder::new()
        .name("manifests".into())
        .spawn(|| follower.run())
        .map_err(Error::Thread)?;
    Ok(receiver)
}

/// The thread's state: the one writer of the mesh.
struct Follower {
    folder: Folder,
    node: Arc<str>,
    watched: Watched,
    woken: Receiver<()>,
    updates: watch::Sender<Update>,
}

/// The watch on the folder.
struct Watched {
    path: PathBuf,
    watcher: RecommendedWatcher,
    /// Device and inode of what is watched: a folder that is replaced as a whole must be watched anew.
    identity: Option<(u64, u64)>,
}

// === impl Follower ===

impl Follower {
    fn run(mut self) {
        while self.wait_for_change() {
            self.watched.renew();
            if self.folder.refresh() {
                self.publish();
            }
        }
    }

    /// Waits until the folder has changed and been quiet for a moment; false when nobody listens any more.
    fn wait_for_change(&self) -> bool {
        match self.woken.recv_timeout(RESCAN) {
            Ok(()) => {
                let latest = Instant::now() + LONGEST_BURST;
                while Instant::now() < latest && self.woken.recv_timeout(QUIET).is_ok() {}
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(RESCAN),
        }
        !self.updates.is_closed()
    }

    fn publish(&self) {
        let collected = self.folder.collected();
        let contents = assemble(&collected.objects, &self.node);
        self.updates.send_modify(|update| {
            if let Some(mesh) = update.mesh.changed(contents) {
                update.mesh = Arc::new(mesh);
            }
            update.problems = collected.problems.clone().into();
        });
    }
}

// === impl Watched ===

impl Watched {
    fn new(path: PathBuf, wake: mpsc::Sender<()>) -> Result<Self, Error> {
        let failed = |source| Error::Watch {
            path: path.clone(),
            source,
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Errors wake too: they tell of lost events.
            if event.is_ok_and(|event| is_only_a_look(event.kind)) {
                return;
            }
            // The thread that listens may be gone, which ends the watch as well.
            let _ = wake.send(());
        })
        .map_err(failed)?;
        let mut watched = Self {
            path: path.clone(),
            watcher,
            identity: None,
        };
        watched.watch().map_err(failed)?;
        Ok(watched)
    }

    /// Watches anew where the path leads to another folder than before; the next rescan tries again where that fails.
    fn renew(&mut self) {
        if identity(&self.path) == self.identity {
            return;
        }
        let _ = self.watcher.unwatch(&self.path);
        if self.watch().is_err() {
            self.identity = None;
        }
    }

    fn watch(&mut self) -> notify::Result<()> {
        self.identity = identity(&self.path);
        self.watcher.watch(&self.path, RecursiveMode::NonRecursive)
    }
}

/// Whether somebody only read, as this very thread does.
fn is_only_a_look(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// How long the folder must be quiet before it is read: most writers need several steps.
const QUIET: Duration = Duration::from_millis(10);

/// How long a burst of changes may put off the reading; with it a change is followed within 100 ms.
const LONGEST_BURST: Duration = Duration::from_millis(50);

/// How often the folder is read without being told to.
const RESCAN: Duration = Duration::from_secs(5);

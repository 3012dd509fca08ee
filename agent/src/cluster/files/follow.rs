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
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::watch;

use super::{super::assemble::assemble, Contact, Error, LastKnown, Update, folder::Folder};
use crate::model::{Contents, Mesh};

/// Reads a folder of manifests as the agent of `node` and follows it.
///
/// What is returned already holds the first full list. Where an earlier mesh is known, the folder may be away or hold no
/// object at all, as a folder does on which something is not mounted yet: that mesh is used until the folder is there. A
/// thread of its own writes the later ones; it ends when all receivers are gone.
pub fn follow(path: &Path, node: &str, last_known: Option<LastKnown>) -> Result<watch::Receiver<Update>, Error> {
    // Watched before it is read, so that no change falls between the two.
    let (wake, woken) = mpsc::channel();
    let mut watched = Watched::new(path.to_path_buf(), wake)?;
    let folder = match &last_known {
        Some(_) => {
            watched.renew();
            Folder::open_or_away(path.to_path_buf())
        }
        None => {
            watched.start()?;
            Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
                path: path.to_path_buf(),
                source,
            })?
        }
    };
    let confirmed = last_known
        .as_ref()
        .map_or_else(SystemTime::now, |known| known.confirmed);
    let (updates, receiver) = watch::channel(Update {
        mesh: Arc::default(),
        problems: Arc::default(),
        contact: Contact::Fresh,
    });
    let mut follower = Follower {
        folder,
        node: node.into(),
        watched,
        woken,
        updates,
        last_known,
        confirmed,
    };
    follower.begin();
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
    /// What is used until the folder has said something.
    last_known: Option<LastKnown>,
    /// When the folder last said what the mesh is.
    confirmed: SystemTime,
}

/// The watch on the folder.
pub(super) struct Watched {
    path: PathBuf,
    watcher: RecommendedWatcher,
    /// Device and inode of what is watched: a folder that is replaced as a whole must be watched anew.
    identity: Option<(u64, u64)>,
}

// === impl Follower ===

impl Follower {
    fn begin(&mut self) {
        let contact = self.contact();
        let contents = match &self.last_known {
            Some(known) => known.contents.clone(),
            None => assemble(&self.folder.collected().objects, &self.node),
        };
        self.updates.send_replace(Update {
            mesh: Arc::new(Mesh::new(Contents {
                generation: 1,
                ..contents
            })),
            problems: self.folder.collected().problems.clone().into(),
            contact,
        });
    }

    fn run(mut self) {
        while self.wait_for_change() {
            self.watched.renew();
            let differs = self.folder.refresh();
            let contact = self.contact();
            if differs {
                self.publish(contact);
            }
        }
    }

    /// Waits until the folder has changed and been quiet for a moment; false when nobody listens any more.
    fn wait_for_change(&self) -> bool {
        wait_for_quiet(&self.woken, self.folder.is_there());
        !self.updates.is_closed()
    }

    /// Whether the folder says what the mesh is; from then on nothing older counts.
    fn contact(&mut self) -> Contact {
        let says_nothing = self.last_known.is_some() && self.folder.collected().placed.is_empty();
        if !self.folder.is_there() || says_nothing {
            return Contact::Lost { since: self.confirmed };
        }
        self.last_known = None;
        self.confirmed = SystemTime::now();
        Contact::Fresh
    }

    fn publish(&self, contact: Contact) {
        let collected = self.folder.collected();
        let contents = match self.last_known {
            Some(_) => None,
            None => Some(assemble(&collected.objects, &self.node)),
        };
        self.updates.send_modify(|update| {
            if let Some(mesh) = contents.and_then(|contents| update.mesh.changed(contents)) {
                update.mesh = Arc::new(mesh);
            }
            update.problems = collected.problems.clone().into();
            update.contact = contact;
        });
    }
}

// === impl Watched ===

impl Watched {
    /// Watches nothing yet.
    pub(super) fn new(path: PathBuf, wake: mpsc::Sender<()>) -> Result<Self, Error> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Errors wake too: they tell of lost events.
            if event.is_ok_and(|event| is_only_a_look(event.kind)) {
                return;
            }
            // The thread that listens may be gone, which ends the watch as well.
            let _ = wake.send(());
        })
        .map_err(|source| Error::Watch {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            watcher,
            identity: None,
        })
    }

    /// Watches a folder that must be there.
    pub(super) fn start(&mut self) -> Result<(), Error> {
        self.watch().map_err(|source| Error::Watch {
            path: self.path.clone(),
            source,
        })
    }

    /// Watches anew where the path leads to another folder than before; the next rescan tries again where that fails.
    pub(super) fn renew(&mut self) {
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

/// Waits until something has woken and all is quiet again, or until it is time to look without being told to.
pub(super) fn wait_for_quiet(woken: &Receiver<()>, is_there: bool) {
    let rescan = if is_there { RESCAN } else { RETRY };
    match woken.recv_timeout(rescan) {
        Ok(()) => {
            let latest = Instant::now() + LONGEST_BURST;
            while Instant::now() < latest && woken.recv_timeout(QUIET).is_ok() {}
        }
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => thread::sleep(RESCAN),
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

/// How often a folder that is away is looked for.
const RETRY: Duration = Duration::from_secs(1);

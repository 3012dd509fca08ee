//! The watch on a folder: inotify says what has changed, a slow look finds what it misses.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{
    Error,
    burst::{Burst, is_only_a_look},
    folder::Changed,
};

/// A folder whose changes are told.
pub(super) struct Watched {
    path: PathBuf,
    watcher: RecommendedWatcher,
    told: Receiver<notify::Result<Event>>,
    /// Device and inode of what is watched: a folder that is replaced as a whole must be watched anew.
    identity: Option<(u64, u64)>,
    /// When the last change was told.
    last: Instant,
}

/// Whether the folder is still the one that was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Same,
    Anew,
}

// === impl Watched ===

impl Watched {
    /// Watches a folder that must be there. To be called before it is read, so that no change falls between the two.
    pub(super) fn start(path: PathBuf) -> Result<Self, Error> {
        let mut watched = Self::new(path)?;
        match watched.watch() {
            Ok(()) => Ok(watched),
            Err(source) => Err(Error::Watch {
                path: watched.path,
                source,
            }),
        }
    }

    /// Watches a folder as soon as it is there.
    pub(super) fn start_or_away(path: PathBuf) -> Result<Self, Error> {
        let mut watched = Self::new(path)?;
        watched.renew();
        Ok(watched)
    }

    /// Waits for a change and for what belongs to it, or until it is time to look without being told to.
    pub(super) fn next_change(&mut self, is_there: bool) -> Changed {
        let changed = match self.told.recv_timeout(if is_there { RESCAN } else { RETRY }) {
            Ok(event) => self.burst(event),
            Err(RecvTimeoutError::Timeout) => Changed::Anything,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(RESCAN);
                Changed::Anything
            }
        };
        self.last = Instant::now();
        match self.renew() {
            Watch::Same => changed,
            Watch::Anew => Changed::Anything,
        }
    }

    fn new(path: PathBuf) -> Result<Self, Error> {
        let (tell, told) = mpsc::channel();
        let watcher = notify::recommended_watcher(move |event| {
            if !is_only_a_look(&event) {
                // Whoever listens may be gone, which ends the watch as well.
                let _ = tell.send(event);
            }
        })
        .map_err(|source| Error::Watch {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            watcher,
            told,
            identity: None,
            last: Instant::now(),
        })
    }

    /// Gathers events until all they tell of is complete, or has been left alone for a moment.
    fn burst(&self, first: notify::Result<Event>) -> Changed {
        let start = Instant::now();
        let (latest, earliest) = (start + LONGEST_BURST, self.last + BREATHER);
        let mut burst = Burst::new();
        burst.add(first, &self.path);
        loop {
            let now = Instant::now();
            let patience = if burst.is_settled() { Duration::ZERO } else { QUIET };
            let until = (now + patience).max(earliest).min(latest);
            match self.told.recv_timeout(until.saturating_duration_since(now)) {
                Ok(event) => burst.add(event, &self.path),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return burst.into_changed(),
            }
        }
    }

    /// Watches anew where the path leads to another folder than before; the next look tries again where that fails.
    fn renew(&mut self) -> Watch {
        if identity(&self.path) == self.identity {
            return Watch::Same;
        }
        let _ = self.watcher.unwatch(&self.path);
        if self.watch().is_err() {
            self.identity = None;
        }
        Watch::Anew
    }

    fn watch(&mut self) -> notify::Result<()> {
        self.identity = identity(&self.path);
        self.watcher.watch(&self.path, RecursiveMode::NonRecursive)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// How long what may be half of something waits for the rest: most writers need several steps.
const QUIET: Duration = Duration::from_millis(10);

/// How long a burst of changes may put off the reading; with it a change is followed within 100 ms.
const LONGEST_BURST: Duration = Duration::from_millis(50);

/// How long after a change the next one is told at the soonest: a thousand files written one by one make few meshes.
const BREATHER: Duration = Duration::from_millis(20);

/// How often the folder is looked through without being told to.
const RESCAN: Duration = Duration::from_secs(5);

/// How often a folder that is away is looked for.
const RETRY: Duration = Duration::from_secs(1);

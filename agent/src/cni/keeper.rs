//! The thread that keeps the plugin installed while the agent lives, whoever rewrites the runtime's files.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};

use super::installation::{InstallError, Installation, Installed};
use crate::telemetry::with_causes;

/// Keeps the plugin installed until it is dropped; the plugin then stays, so that pods are held for the next agent.
#[derive(Debug)]
pub struct Keeper {
    wake: Sender<Wake>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Changed,
    Stop,
}

/// How soon the next repair may be: somebody who undoes each must not be fought without end.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// How many repairs there were, each soon after the one before.
    streak: u32,
    last: Option<Instant>,
}

/// The thread's state.
struct Work {
    installation: Installation,
    wakes: Receiver<Wake>,
    watcher: RecommendedWatcher,
    /// Device and inode of the folder that is watched.
    watched: Option<(u64, u64)>,
    pace: Pace,
    /// What was complained of last.
    told: Option<String>,
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread, which installs the plugin at once.
    pub fn start(installation: Installation) -> io::Result<Self> {
        let (wake, wakes) = mpsc::channel();
        let changed = wake.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if !is_only_a_look(&event) {
                // The thread may have ended.
                let _ = changed.send(Wake::Changed);
            }
        });
        let work = Work {
            installation,
            wakes,
            watcher: watcher.map_err(io::Error::other)?,
            watched: None,
            pace: Pace::default(),
            told: None,
        };
        thread::Builder::new().name("cni".into()).spawn(|| work.run())?;
        Ok(Self { wake })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.wake.send(Wake::Stop);
    }
}

// === impl Work ===

impl Work {
    fn run(mut self) {
        if let Err(error) = self.installation.begin() {
            self.complain(&error);
        }
        loop {
            self.watch();
            if self.installation.is_ended() {
                tracing::warn!("The CNI plugin was uninstalled: it is not put back before the agent's next start");
                return;
            }
            match self.installation.mend() {
                Ok(installed) => self.tell(installed),
                Err(error) => self.complain(&error),
            }
            let rest = if self.watched.is_some() { LOOK } else { RETRY };
            if self.wait(rest) == Wake::Stop {
                return;
            }
        }
    }

    /// Watches anew where the path leads to another folder than before.
    fn watch(&mut self) {
        let folder = self.installation.conf_dir();
        let identity = fs::metadata(folder)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if identity == self.watched {
            return;
        }
        let _ = self.watcher.unwatch(folder);
        let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
        self.watched = identity.filter(|_| watched.is_ok());
    }

    /// Waits for a change, or until it is time to look without one.
    fn wait(&mut self, rest: Duration) -> Wake {
        let first = match self.wakes.recv_timeout(rest) {
            Ok(wake) => wake,
            Err(RecvTimeoutError::Timeout) => Wake::Changed,
            Err(RecvTimeoutError::Disconnected) => Wake::Stop,
        };
        // Writers need several steps; and whoever undoes each repair gets longer and longer rests.
        let until = Instant::now() + self.pace.pause(Instant::now());
        let mut wake = first;
        while wake != Wake::Stop {
            match self.wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(next) => wake = next,
                Err(RecvTimeoutError::Timeout) => return Wake::Changed,
                Err(RecvTimeoutError::Disconnected) => return Wake::Stop,
            }
        }
        wake
    }

    fn tell(&mut self, installed: Installed) {
        self.told = None;
        let Installed { binary, list } = installed;
        if binary {
            tracing::info!("CNI plugin is copied");
        }
        let Some(list) = list else { return };
        let streak = self.pace.repaired(Instant::now());
        if streak > FREE {
            tracing::warn!(list = %list.display(), repairs = streak, "Somebody takes the CNI plugin away again and again");
        } else {
            tracing::info!(list = %list.display(), "CNI plugin is chained");
        }
    }

    /// Says what is wrong, once.
    fn complain(&mut self, error: &InstallError) {
        let text = with_causes(error);
        if self.told.as_ref() == Some(&text) {
            return;
        }
        match error {
            InstallError::NoNetwork { .. } => tracing::info!("CNI plugin waits: {text}"),
            InstallError::Binary(_)
            | InstallError::Read { .. }
            | InstallError::Write { .. }
            | InstallError::NotChained { .. } => tracing::error!("CNI plugin is not installed: {text}"),
        }
        self.told = Some(text);
    }
}

// === impl Pace ===

impl Pace {
    /// Notes a repair; says how many there were in a row.
    fn repaired(&mut self, now: Instant) -> u32 {
        let again = self.last.is_some_and(|last| now.duration_since(last) < QUIET);
        self.streak = if again { self.streak.saturating_add(1) } else { 1 };
        self.last = Some(now);
        self.streak
    }

    /// How long the next change is let be.
    fn pause(&self, now: Instant) -> Duration {
        let quiet = self.last.is_none_or(|last| now.duration_since(last) >= QUIET);
        if quiet || self.streak <= FREE {
            return BURST;
        }
        let doublings = (self.streak - FREE - 1).min(16);
        (FIRST_REST * 2_u32.pow(doublings)).min(LAST_REST)
    }
}

/// Whether an event tells of reading alone, as we do ourselves.
fn is_only_a_look(event: &notify::Result<Event>) -> bool {
    event.as_ref().is_ok_and(|event| match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => false,
    })
}

/// How often the files are looked at without being told to: the binary's folder is not watched.
const LOOK: Duration = Duration::from_secs(10);

/// How often a folder that is not there is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// How long a change waits for what belongs to it.
const BURST: Duration = Duration::from_millis(50);

/// How many repairs are made without a rest.
const FREE: u32 = 3;
const FIRST_REST: Duration = Duration::from_secs(1);
const LAST_REST: Duration = Duration::from_secs(300);

/// After how long without a repair nobody is thought to fight any longer; longer than the longest rest.
const QUIET: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;

//! The folder as a running CA follows it: read when it has changed, and changed by what time does to a rotation.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;

use super::{
    CaServerError,
    folder::{Folder, Stamp},
    live::Live,
    rotate::{self, Due, Pace},
    state::State,
    waits::Waits,
};
use crate::telemetry::with_causes;

/// The folder of a running CA, and what it said last.
#[derive(Debug)]
pub(super) struct Book {
    folder: Folder,
    live: watch::Sender<Arc<Live>>,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    stamp: Option<Stamp>,
    state: State,
    /// What the folder says about whom a rotation waits for.
    waits: Option<Waits>,
}

// === impl Book ===

impl Book {
    /// Opens the folder of a CA.
    pub(super) fn open(folder: Folder) -> Result<Self, CaServerError> {
        let stamp = folder.stamp();
        let state = folder.read()?;
        let (live, _) = watch::channel(Arc::new(Live::new(&state)?));
        Ok(Self {
            folder,
            live,
            read: Mutex::new(Read {
                stamp,
                state,
                waits: None,
            }),
        })
    }

    /// What the folder says, as it changes.
    pub(super) fn live(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    /// Reads the folder where it has changed since. What cannot be used is told once, and the last good state holds.
    pub(super) fn look(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.folder.stamp();
        if read.stamp == stamp {
            return;
        }
        read.stamp = stamp;
        match self.folder.read().and_then(|state| Ok((Live::new(&state)?, state))) {
            Ok((fresh, state)) => {
                read.state = state;
                self.live.send_replace(Arc::new(fresh));
            }
            Err(error) => tracing::error!(
                error = with_causes(&error),
                "The state cannot be used: the last one holds"
            ),
        }
    }

    /// Takes a rotation to its next stage when that is due; `without` names the nodes that have not taken a bundle.
    pub(super) fn rotate(&self, pace: Pace, without: impl FnOnce(u64) -> BTreeSet<Arc<str>>) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rotation) = read.state.rotation else { return };
        let bundle = read.state.bundle;
        let nodes = without(bundle);
        match rotate::due(rotation, pace, !nodes.is_empty(), SystemTime::now()) {
            Due::Later => {}
            Due::Waits => self.wait_for(&mut read, Waits { bundle, nodes }),
            Due::Now => {
                if !nodes.is_empty() && rotation.is_joining() {
                    tracing::warn!(?nodes, "The new root signs though these do not know it");
                }
                let advanced = self.folder.edit(|state| {
                    rotate::advance(state, pace, SystemTime::now());
                    Ok(state.rotation)
                });
                match advanced {
                    Ok(rotation) => tracing::info!(?rotation, "The rotation has reached its next stage"),
                    Err(error) => tracing::error!(error = with_causes(&error), "The rotation cannot go on"),
                }
            }
        }
    }

    /// Tells whom a rotation waits for, each time that it is others.
    fn wait_for(&self, read: &mut Read, waits: Waits) {
        if read.waits.as_ref() == Some(&waits) {
            return;
        }
        tracing::warn!(nodes = ?waits.nodes, "The rotation waits for agents that do not take the new root");
        if let Err(error) = self.folder.write_waits(&waits) {
            tracing::warn!(
                error = with_causes(&error),
                "`weft ca show` cannot tell whom the rotation waits for"
            );
        }
        read.waits = Some(waits);
    }
}

//! The mesh as the folder of manifests says it, split into what the rooms follow and what is told to people.

use std::{path::Path, sync::Arc};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cluster::files::{self, Update},
    model::{Mesh, Problem, Severity},
};

/// The followed folder.
pub(super) struct Manifests {
    /// The mesh.
    pub(super) mesh: watch::Receiver<Arc<Mesh>>,
    updates: watch::Receiver<Update>,
    _split: AbortOnDropHandle<()>,
}

// === impl Manifests ===

impl Manifests {
    /// Reads the folder whole, then follows it. Needs a tokio runtime.
    pub(super) fn follow(path: &Path, node: &str) -> Result<Self, files::Error> {
        let updates = files::follow(path, node)?;
        let first = updates.borrow().clone();
        first.problems.iter().for_each(tell);
        let (mesh, receiver) = watch::channel(first.mesh.clone());
        let split = tokio::spawn(split(updates.clone(), first, mesh));
        Ok(Self {
            mesh: receiver,
            updates,
            _split: AbortOnDropHandle::new(split),
        })
    }

    /// All that is wrong with the folder at this moment.
    pub(super) fn problems(&self) -> Arc<[Problem]> {
        self.updates.borrow().problems.clone()
    }
}

/// Passes each new mesh on and tells each new problem once.
async fn split(mut updates: watch::Receiver<Update>, mut last: Update, mesh: watch::Sender<Arc<Mesh>>) {
    while updates.changed().await.is_ok() {
        let update = updates.borrow_and_update().clone();
        update.fresh_problems(&last).for_each(tell);
        if update.mesh.generation != last.mesh.generation {
            tracing::debug!(generation = update.mesh.generation, "Mesh changed");
            mesh.send_replace(update.mesh.clone());
        }
        last = update;
    }
}

fn tell(problem: &Problem) {
    match problem.severity {
        Severity::Error => tracing::warn!("{problem}"),
        Severity::Notice => tracing::info!("{problem}"),
    }
}

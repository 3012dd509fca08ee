//! The mesh as the folder of manifests says it, split into what the rooms follow and what is told to people.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cluster::{Contact, LastKnown, Update, files},
    kernel::with_causes,
    model::{Mesh, Problem, Severity},
    store::{Saved, Store},
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
    /// Reads the folder whole, then follows it; what the store keeps is used while it is away. Needs a tokio runtime.
    pub(super) fn follow(path: &Path, node: &str, store: Option<&Store>) -> Result<Self, files::Error> {
        let updates = files::follow(path, node, store.and_then(|store| last_known(store, node)))?;
        let first = updates.borrow().clone();
        first.problems.iter().for_each(tell);
        tell_contact(Contact::Fresh, first.contact);
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

    /// Whether the mesh is what the folder says.
    pub(super) fn contact(&self) -> Contact {
        self.updates.borrow().contact
    }

    /// The mesh with all that is told of it.
    pub(super) fn updates(&self) -> watch::Receiver<Update> {
        self.updates.clone()
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
        tell_contact(last.contact, update.contact);
        last = update;
    }
}

/// How long ago the folder last said what the mesh is; none while it does.
pub(super) fn age(contact: Contact) -> Option<Duration> {
    match contact {
        Contact::Fresh => None,
        // A clock that was set back makes nothing older.
        Contact::Lost { since } => Some(since.elapsed().unwrap_or_default()),
    }
}

/// What an earlier agent kept. What cannot be understood is said and left alone: the next mesh takes its place.
fn last_known(store: &Store, node: &str) -> Option<LastKnown> {
    match store.load(node) {
        Ok(saved) => saved.map(|Saved { contents, confirmed }| LastKnown { contents, confirmed }),
        Err(error) => {
            tracing::warn!(error = %with_causes(&error), "The mesh that was kept is discarded");
            None
        }
    }
}

fn tell_contact(before: Contact, now: Contact) {
    match (age(before), age(now)) {
        (None, Some(age)) => {
            let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
            tracing::warn!(%age, "The manifests are away: the last known mesh is used");
        }
        (Some(_), None) => tracing::info!("The manifests are back"),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn tell(problem: &Problem) {
    match problem.severity {
        Severity::Error => tracing::warn!("{problem}"),
        Severity::Notice => tracing::info!("{problem}"),
    }
}

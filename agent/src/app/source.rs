//! The mesh as its source says it, whichever it is, split into what the rooms follow and what is told to people.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cluster::{
        Contact, LastKnown, Update,
        api::{ApiServer, ApiServerError},
        files, watch as api_server,
    },
    config::MeshSource,
    kernel::with_causes,
    model::{Mesh, Problem, Severity},
    store::{Saved, Store},
};

/// The followed source.
pub(super) struct Source {
    /// The mesh.
    pub(super) mesh: watch::Receiver<Arc<Mesh>>,
    /// The server that tells it, where there is one.
    pub(super) api: Option<ApiServer>,
    name: Name,
    updates: watch::Receiver<Update>,
    _split: AbortOnDropHandle<()>,
}

/// What people call the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Manifests,
    ApiServer,
}

/// Why a source cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Manifests(#[from] files::Error),
    #[error("cannot read the mesh from Kubernetes; --manifests DIR reads it from a folder")]
    ApiServer(#[from] ApiServerError),
    #[error(transparent)]
    Watch(#[from] api_server::Error),
}

/// Whoever follows the source has ended though somebody listens.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the source of the mesh is followed no longer")]
pub(super) struct SourceEnded;

// === impl Source ===

impl Source {
    /// Reads the source whole, then follows it; what the store keeps is used while it is away. Needs a tokio runtime.
    pub(super) async fn follow(source: MeshSource<'_>, node: &str, store: Option<&Store>) -> Result<Self, SourceError> {
        let last_known = store.and_then(|store| last_known(store, node));
        let (name, api, updates) = match source {
            MeshSource::Manifests(folder) => (Name::Manifests, None, files::follow(folder, node, last_known)?),
            MeshSource::Kubernetes { kubeconfig } => {
                let api = ApiServer::new(kubeconfig).await?;
                let updates = api_server::follow(api.clone(), node, last_known).await?;
                (Name::ApiServer, Some(api), updates)
            }
        };
        let first = updates.borrow().clone();
        first.problems.iter().for_each(tell);
        name.tell_contact(Contact::Fresh, first.contact);
        let (mesh, receiver) = watch::channel(first.mesh.clone());
        let split = tokio::spawn(split(name, updates.clone(), first, mesh));
        Ok(Self {
            mesh: receiver,
            api,
            name,
            updates,
            _split: AbortOnDropHandle::new(split),
        })
    }

    /// All that is wrong with what the source says at this moment.
    pub(super) fn problems(&self) -> Arc<[Problem]> {
        self.updates.borrow().problems.clone()
    }

    /// Whether the mesh is what the source says; how old it is where it is not.
    pub(super) fn staleness(&self) -> Option<String> {
        let age = age(self.updates.borrow().contact)?;
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        Some(match self.name {
            Name::Manifests => format!("the manifests were last read {age} ago"),
            Name::ApiServer => format!("the API server last confirmed the mesh {age} ago"),
        })
    }

    /// The mesh with all that is told of it.
    pub(super) fn updates(&self) -> watch::Receiver<Update> {
        self.updates.clone()
    }
}

// === impl Name ===

impl Name {
    fn tell_contact(self, before: Contact, now: Contact) {
        match (age(before), age(now)) {
            (None, Some(age)) => {
                let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
                tracing::warn!(source = %self, %age, "The source of the mesh is away: the last known mesh is used");
            }
            (Some(_), None) => tracing::info!(source = %self, "The source of the mesh is back"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifests => "manifests",
            Self::ApiServer => "API server",
        })
    }
}

/// How long ago the source last said what the mesh is; none while it does.
pub(super) fn age(contact: Contact) -> Option<Duration> {
    match contact {
        Contact::Fresh => None,
        // A clock that was set back makes nothing older.
        Contact::Lost { since } => Some(since.elapsed().unwrap_or_default()),
    }
}

/// Ends when whoever follows a source does.
pub(super) async fn end_of(mut updates: watch::Receiver<Update>) -> SourceEnded {
    while updates.changed().await.is_ok() {}
    SourceEnded
}

/// Passes each new mesh on and tells each new problem once.
async fn split(name: Name, mut updates: watch::Receiver<Update>, mut last: Update, mesh: watch::Sender<Arc<Mesh>>) {
    while updates.changed().await.is_ok() {
        let update = updates.borrow_and_update().clone();
        update.fresh_problems(&last).for_each(tell);
        if update.mesh.generation != last.mesh.generation {
            tracing::debug!(generation = update.mesh.generation, "Mesh changed");
            mesh.send_replace(update.mesh.clone());
        }
        name.tell_contact(last.contact, update.contact);
        last = update;
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

fn tell(problem: &Problem) {
    match problem.severity {
        Severity::Error => tracing::warn!("{problem}"),
        Severity::Notice => tracing::info!("{problem}"),
    }
}

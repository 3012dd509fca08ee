//! A folder of Kubernetes' manifests as the source of the mesh: read whole at the start, then followed.
//!
//! What the API server would fill in is taken as it would be: the namespace `default`, slices from selectors, a UID from
//! namespace and name, Ready where there is no status. A service's address must be written, since nothing allocates one.

mod burst;
mod collect;
mod decode;
mod document;
mod folder;
mod follow;
mod offline;
mod print;
mod roster;
mod suspect;
mod watched;

use std::{io, path::PathBuf, sync::Arc, time::SystemTime};

use crate::model::{Contents, Mesh, Problem};

pub use follow::follow;
pub use offline::{Reviewed, Source, meshes, review};
pub use roster::follow_roster;

/// What the folder says at one moment.
#[derive(Clone, Debug)]
pub struct Update {
    /// The mesh; its generation counts up where it differs.
    pub mesh: Arc<Mesh>,
    /// All that is wrong with the folder, in the order of files and lines.
    pub problems: Arc<[Problem]>,
    /// Whether the mesh is what the folder says.
    pub contact: Contact,
}

/// Whether a mesh is what its source says at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It is.
    Fresh,
    /// The source is away: the mesh is what was last known.
    Lost {
        /// When the source last confirmed it.
        since: SystemTime,
    },
}

/// A mesh that an earlier agent knew, for when its source is away.
#[derive(Clone, Debug)]
pub struct LastKnown {
    /// What it is built from.
    pub contents: Contents,
    /// When its source last confirmed it.
    pub confirmed: SystemTime,
}

/// Why a folder cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be listed.
    #[error("cannot read the manifests in {}", path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel does not tell of its changes.
    #[error("cannot watch {}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: notify::Error,
    },
    /// The thread that follows it cannot be started.
    #[error("cannot start the thread that follows the manifests")]
    Thread(#[source] io::Error),
}

// === impl Update ===

impl Update {
    /// The problems that are not in an earlier update, to be told once.
    pub fn fresh_problems<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = &'a Problem> {
        self.problems
            .iter()
            .filter(|problem| !earlier.problems.contains(problem))
    }
}

#[cfg(test)]
mod tests;

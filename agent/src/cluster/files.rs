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

use std::{io, path::PathBuf};

pub use follow::follow;
pub use offline::{Reviewed, Source, meshes, review};
pub use roster::follow_roster;

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

#[cfg(test)]
mod tests;

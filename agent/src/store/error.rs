//! What can go wrong with the mesh that is kept.

use std::{io, path::PathBuf};

/// Why the mesh is not kept, or the one that is kept not used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else may have written the file.
    #[error("{} does not belong to the agent's user alone", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{} is not what an agent writes", path.display())]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file holds less or more than is understood.
    #[error("{} has fields that are not known, or lacks some", path.display())]
    NotWhole {
        /// The file.
        path: PathBuf,
    },
    /// Another version of the agent has written the file.
    #[error("{} is of version {found}, and this weft reads {}", path.display(), super::VERSION)]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file is another node's.
    #[error("{} is of the node {found}", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// That node.
        found: String,
    },
}

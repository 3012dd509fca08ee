//! What an agent left in the kernel, read from its pins alone: it works as well when no agent runs.

mod check;
mod drops;
mod entries;
mod fdinfo;
mod life;
mod link;
mod map;
mod namespace;
mod pod;
mod program;
mod uninstall;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent_common::names;
use aya::{
    maps::MapError,
    programs::{ProgramError, links::LinkError},
};

use super::owners;

pub use check::{Finding, FindingKind};
pub use drops::Drops;
pub use entries::{Entry, map_name, map_names};
pub use life::Life;
pub use link::{CgroupAttachment, Link, Owner};
pub use map::Map;
pub use namespace::Namespaces;
pub use pod::PinnedPod;
pub use program::Program;
pub use uninstall::{Removed, uninstall};

/// The pins of one node's agent.
#[derive(Clone, Debug)]
pub struct Pins {
    node: String,
    root: PathBuf,
}

/// What belongs to the whole node, and what to one pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Node,
    Pod(String),
}

/// Something in the kernel that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// No agent ever pinned anything for this node, or it was uninstalled.
    #[error("node {node} has no pins at {}", path.display())]
    NoPins {
        /// The node.
        node: String,
        /// Where they would be.
        path: PathBuf,
    },
    /// A folder or file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pin cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A map cannot be opened or read.
    #[error("map {name}")]
    Map {
        /// The map.
        name: String,
        /// Why.
        source: MapError,
    },
    /// No map has this name.
    #[error("no map is called {name}; there are {known}")]
    NoSuchMap {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// A map holds something that only the kernel programs understand.
    #[error("map {name} has no entries to show: {instead}")]
    Opaque {
        /// The map.
        name: String,
        /// What shows its contents.
        instead: &'static str,
    },
    /// A link cannot be opened or read.
    #[error("link {}", path.display())]
    Link {
        /// The link's pin.
        path: PathBuf,
        /// Why.
        source: LinkError,
    },
    /// The ring of refused connections cannot be followed.
    #[error("cannot follow the ring of refused connections")]
    Ring(#[source] io::Error),
    /// A program cannot be read.
    #[error("cannot read a program")]
    Program(#[from] ProgramError),
}

// === impl Pins ===

impl Pins {
    /// The pins of a node, which must exist.
    pub fn open(bpffs: &Path, node: &str) -> Result<Self, InspectError> {
        let root = node_folder(bpffs, node).join(names::ABI);
        if !root.is_dir() {
            return Err(InspectError::NoPins {
                node: node.to_owned(),
                path: root,
            });
        }
        owners::ask(root.join(names::MAPS).join(names::map::OWNERS));
        Ok(Self {
            node: node.to_owned(),
            root,
        })
    }

    /// The node to which they belong.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The folder of a kind of pins, and the owner of what lies in it, for the node and for each pod, in the order of
    /// the pods' UIDs.
    fn folders(&self, kind: &str) -> Result<Vec<(Scope, PathBuf)>, InspectError> {
        let pods = children(&self.root.join(names::PODS))?
            .into_iter()
            .map(|(name, path)| (Scope::Pod(undotted(&name)), path.join(kind)));
        Ok([(Scope::Node, self.root.join(kind))].into_iter().chain(pods).collect())
    }

    /// Every pin of a kind: whose it is, its name, its path.
    fn pins(&self, kind: &str) -> Result<Vec<(Scope, String, PathBuf)>, InspectError> {
        let mut pins = Vec::new();
        for (scope, folder) in self.folders(kind)? {
            pins.extend(
                children(&folder)?
                    .into_iter()
                    .map(|(name, path)| (scope.clone(), name, path)),
            );
        }
        Ok(pins)
    }
}

// === impl Scope ===

impl Scope {
    fn pod(self) -> Option<String> {
        match self {
            Self::Node => None,
            Self::Pod(uid) => Some(uid),
        }
    }
}

/// The nodes that have pins, in the order of their names.
pub fn nodes(bpffs: &Path) -> Result<Vec<String>, InspectError> {
    let folders = children(&bpffs.join(names::ROOT))?;
    Ok(folders.into_iter().map(|(name, _)| undotted(&name)).collect())
}

/// The name of a Kubernetes object after which a pin is called.
fn undotted(pin: &str) -> String {
    pin.replace(names::DOT, ".")
}

fn node_folder(bpffs: &Path, node: &str) -> PathBuf {
    bpffs.join(names::ROOT).join(node.replace('.', names::DOT))
}

/// What lies in a folder, by name and in the order of the names; nothing when there is no such folder.
fn children(folder: &Path) -> Result<Vec<(String, PathBuf)>, InspectError> {
    let failed = |source| InspectError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_listed_with_the_dots_of_their_names() {
        let bpffs = tempfile::tempdir().unwrap();
        for node in ["worker-2", "ip-10-0-0-1_internal"] {
            fs::create_dir_all(bpffs.path().join(names::ROOT).join(node).join(names::ABI)).unwrap();
        }
        assert_eq!(nodes(bpffs.path()).unwrap(), ["ip-10-0-0-1.internal", "worker-2"]);
        assert_eq!(
            Pins::open(bpffs.path(), "ip-10-0-0-1.internal").unwrap().node(),
            "ip-10-0-0-1.internal"
        );
    }

    #[test]
    fn a_bpffs_without_weft_has_no_nodes() {
        let bpffs = tempfile::tempdir().unwrap();
        assert_eq!(nodes(bpffs.path()).unwrap(), Vec::<String>::new());
        assert!(matches!(
            Pins::open(bpffs.path(), "node-1"),
            Err(InspectError::NoPins { .. })
        ));
    }
}

//! Taking everything out of the kernel that an agent pinned.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent_common::names;
use serde::Serialize;

use super::{InspectError, children, node_folder};

/// A pin that was removed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Removed {
    /// Where it was pinned.
    pub pinned: PathBuf,
}

/// Removes every pin of a node, of each version: the kernel detaches and frees what nobody else holds.
///
/// The node's links go first: with them nothing is captured any more, and what follows can hurt nobody.
pub fn uninstall(bpffs: &Path, node: &str) -> Result<Vec<Removed>, InspectError> {
    let mut removed = Vec::new();
    let root = node_folder(bpffs, node);
    if !root.is_dir() {
        return Err(InspectError::NoPins {
            node: node.to_owned(),
            path: root,
        });
    }
    for (_, version) in children(&root)? {
        clear(&version.join(names::LINKS), &mut removed)?;
        clear(&version.join(names::PODS), &mut removed)?;
        clear(&version, &mut removed)?;
    }
    clear(&root, &mut removed)?;
    // Other nodes' agents may still have pins beside it.
    match fs::remove_dir(bpffs.join(names::ROOT)) {
        Ok(()) | Err(_) => Ok(removed),
    }
}

/// Removes a folder with all that lies in it; links stand before maps in the order of names.
fn clear(folder: &Path, removed: &mut Vec<Removed>) -> Result<(), InspectError> {
    for (_, path) in children(folder)? {
        if path.is_dir() {
            clear(&path, removed)?;
        } else {
            let gone = fs::remove_file(&path);
            gone.map_err(|source| InspectError::Remove {
                path: path.clone(),
                source,
            })?;
            removed.push(Removed { pinned: path });
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InspectError::Remove {
            path: folder.to_owned(),
            source: error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uninstalling_one_node_leaves_the_other() {
        let bpffs = tempfile::tempdir().unwrap();
        for node in ["a", "b"] {
            let pod = bpffs.path().join(format!("weft/{node}/v2/pods/uid/links"));
            fs::create_dir_all(&pod).unwrap();
            fs::write(pod.join("lookup"), "").unwrap();
        }
        let removed = uninstall(bpffs.path(), "a").unwrap();
        assert_eq!(removed.len(), 1);
        assert!(!bpffs.path().join("weft/a").exists());
        assert!(bpffs.path().join("weft/b/v2/pods/uid/links/lookup").exists());
    }

    #[test]
    fn uninstalling_a_node_without_pins_is_an_error() {
        let bpffs = tempfile::tempdir().unwrap();
        assert!(matches!(uninstall(bpffs.path(), "a"), Err(InspectError::NoPins { .. })));
    }
}

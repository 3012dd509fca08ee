//! Where everything is pinned, as `agent_common::names` draws it.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use agent_common::names::{ABI, DOT, LINKS, MAPS, PODS, ROOT, SUCCESSOR, program};
use aya::programs::links::FdLink;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::KernelError;
use crate::model::PodUid;

/// The pins of a node.
#[derive(Clone, Debug)]
pub(super) struct NodePins {
    versions: PathBuf,
}

/// The pins of one pod.
#[derive(Clone, Debug)]
pub(super) struct PodPins {
    folder: PathBuf,
}

/// A folder of maps.
pub(super) trait Pins {
    /// The pin of a map.
    fn map(&self, name: &str) -> PathBuf;
}

// === impl NodePins ===

impl NodePins {
    /// Makes the folders, which only root may enter.
    pub(super) fn create(bpffs: &Path, node: &str) -> Result<Self, KernelError> {
        let filesystem = statfs(bpffs).map_err(|errno| KernelError::pin("look at", bpffs)(errno.into()))?;
        if filesystem.filesystem_type() != BPF_FS_MAGIC {
            return Err(KernelError::NotBpffs { path: bpffs.into() });
        }
        let pins = Self::of(bpffs, node);
        [pins.maps(), pins.folder(LINKS), pins.folder(PODS)]
            .iter()
            .try_for_each(|folder| create(folder))?;
        Ok(pins)
    }

    /// Removes the pins of other versions of the maps' layout: nothing can be taken over from them.
    pub(super) fn remove_other_versions(&self) -> Result<(), KernelError> {
        for (name, path) in children(&self.versions)? {
            if name != ABI {
                tracing::warn!(path = %path.display(), "Pins of another version discarded: their pods are captured anew");
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The folder of the node's maps.
    pub(super) fn maps(&self) -> PathBuf {
        self.folder(MAPS)
    }

    /// The pin of a node-wide program's link.
    pub(super) fn link(&self, program: &str) -> PathBuf {
        self.folder(LINKS).join(program)
    }

    /// The pins of a pod, there or not.
    pub(super) fn pod(&self, uid: &PodUid) -> PodPins {
        PodPins {
            folder: self.folder(PODS).join(file_name(uid.as_str())),
        }
    }

    /// The pods that have pins.
    pub(super) fn pods(&self) -> Result<Vec<PodUid>, KernelError> {
        let children = children(&self.folder(PODS))?;
        Ok(children
            .into_iter()
            .map(|(name, _)| PodUid::new(name.replace(DOT, ".")))
            .collect())
    }

    fn of(bpffs: &Path, node: &str) -> Self {
        Self {
            versions: bpffs.join(ROOT).join(file_name(node)),
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.versions.join(ABI).join(name)
    }
}

impl Pins for NodePins {
    fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }
}

// === impl PodPins ===

impl PodPins {
    /// Makes the folders.
    pub(super) fn create(&self) -> Result<(), KernelError> {
        [MAPS, LINKS]
            .iter()
            .try_for_each(|name| create(&self.folder.join(name)))
    }

    /// The pin of the link of the pod's program.
    pub(super) fn link(&self) -> PathBuf {
        self.folder.join(LINKS).join(program::LOOKUP)
    }

    /// Removes all of it, the link first: the kernel frees what nobody else holds.
    pub(super) fn remove(&self) -> Result<(), KernelError> {
        remove(&self.folder)
    }
}

impl Pins for PodPins {
    fn map(&self, name: &str) -> PathBuf {
        self.folder.join(MAPS).join(name)
    }
}

/// Pins a link, in place of the one that is pinned there. Between the two both are attached, so that no packet passes by.
pub(super) fn pin_link(link: FdLink, name: &'static str, path: &Path) -> Result<(), KernelError> {
    let successor = path.with_file_name(format!("{name}{SUCCESSOR}"));
    remove_file(&successor)?;
    link.pin(&successor)
        .map_err(|source| KernelError::PinLink { name, source })?;
    fs::rename(&successor, path).map_err(KernelError::pin("rename", successor))
}

/// bpffs refuses dots (see [`DOT`]); a slash would lead elsewhere.
fn file_name(name: &str) -> String {
    name.replace(['.', '/'], DOT)
}

fn create(folder: &Path) -> Result<(), KernelError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(KernelError::pin("make", folder))
}

/// Removes a folder with all that lies in it; links stand before maps in the order of names.
fn remove(folder: &Path) -> Result<(), KernelError> {
    for (_, path) in children(folder)? {
        if path.is_dir() {
            remove(&path)?;
        } else {
            remove_file(&path)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KernelError::pin("remove", folder)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(KernelError::pin("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What lies in a folder, in the order of the names; nothing when there is no such folder.
fn children(folder: &Path) -> Result<Vec<(String, PathBuf)>, KernelError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(KernelError::pin("read", folder)(error)),
    };
    let mut found = entries
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect::<io::Result<Vec<_>>>()
        .map_err(KernelError::pin("read", folder))?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_become_names_that_bpffs_takes() {
        let pins = NodePins::of(Path::new("/bpf"), "ip-10-0-0-1.internal");
        assert_eq!(
            pins.link("connect4"),
            Path::new("/bpf/weft/ip-10-0-0-1_internal/v2/links/connect4")
        );
        let pod = pins.pod(&PodUid::new("../x"));
        assert_eq!(
            pod.map("OWN"),
            Path::new("/bpf/weft/ip-10-0-0-1_internal/v2/pods/___x/maps/OWN")
        );
    }

    #[test]
    fn removing_a_pods_pins_leaves_its_neighbours() {
        let bpffs = tempfile::tempdir().unwrap();
        let pins = NodePins::of(bpffs.path(), "n");
        let [one, other] = ["a", "b"].map(|uid| pins.pod(&PodUid::new(uid)));
        for pod in [&one, &other] {
            pod.create().unwrap();
            fs::write(pod.link(), "").unwrap();
        }
        one.remove().unwrap();
        one.remove().unwrap();
        assert_eq!(pins.pods().unwrap(), [PodUid::new("b")]);
        assert!(other.link().exists());
    }

    #[test]
    fn only_the_pins_of_this_version_are_kept() {
        let bpffs = tempfile::tempdir().unwrap();
        let pins = NodePins::of(bpffs.path(), "n");
        let old = bpffs.path().join("weft/n/v0/maps");
        create(&old).unwrap();
        create(&pins.maps()).unwrap();
        pins.remove_other_versions().unwrap();
        assert!(!old.exists());
        assert!(pins.maps().exists());
    }
}

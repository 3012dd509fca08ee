//! The cgroups to which the node-wide programs are attached.

use std::{
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use super::{Config, KernelError};
use crate::net::{NetNs, PortOwner};

/// A cgroup's folder, opened.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: File,
    path: PathBuf,
    id: u64,
}

/// Where the kubelet's cgroup is looked for.
#[derive(Debug)]
pub(super) struct KubeletCgroup {
    configured: Option<PathBuf>,
    found: Option<PathBuf>,
    host: NetNs,
}

// === impl Cgroup ===

impl Cgroup {
    /// Opens the cgroup above all pods.
    pub(super) fn above_pods(config: &Config) -> Result<Self, KernelError> {
        match &config.cgroup {
            Some(path) => Self::open(path),
            None => Self::open(&mount_point()?),
        }
    }

    /// The kernel's number of the cgroup, which is the inode of its folder.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the cgroup below this one that holds all pods and nothing else, as the kubelet names it.
    pub(super) fn of_pods(&self) -> Result<Option<Self>, KernelError> {
        pods_below(&self.path, DEPTH).map(|path| Self::open(&path)).transpose()
    }

    fn open(path: &Path) -> Result<Self, KernelError> {
        let failed = |source| KernelError::Cgroup {
            path: path.into(),
            source,
        };
        let folder = File::open(path).map_err(failed)?;
        let id = folder.metadata().map_err(failed)?.ino();
        Ok(Self {
            folder,
            path: path.into(),
            id,
        })
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

// === impl KubeletCgroup ===

impl KubeletCgroup {
    pub(super) fn new(config: &Config, host: NetNs) -> Self {
        Self {
            configured: config.kubelet_cgroup.clone(),
            found: None,
            host,
        }
    }

    /// Opens the cgroup if there is one that is not `known`: a kubelet that restarts may get a new one.
    ///
    /// Whoever listens at the kubelet's port is looked for only while nothing is at the place where it was found last.
    pub(super) fn open_unless(&mut self, known: u64) -> Result<Option<Cgroup>, KernelError> {
        let place = self.configured.as_ref().or(self.found.as_ref());
        if place.is_none_or(|place| !place.is_dir()) && self.configured.is_none() {
            self.found = self.find()?;
        }
        let Some(place) = self.configured.as_ref().or(self.found.as_ref()) else {
            return Ok(None);
        };
        if fs::metadata(place).is_ok_and(|folder| folder.ino() == known) {
            return Ok(None);
        }
        Cgroup::open(place).map(Some)
    }

    fn find(&self) -> Result<Option<PathBuf>, KernelError> {
        let owner = PortOwner::find(&self.host, KUBELET_PORT)?;
        owner.map(|owner| Ok(mount_point()?.join(owner.cgroup))).transpose()
    }
}

/// Looks for `kubepods` (the kubelet's cgroupfs driver) or a slice whose name ends so (its systemd driver), nearest first.
fn pods_below(folder: &Path, depth: usize) -> Option<PathBuf> {
    let mut level = vec![folder.to_owned()];
    for _ in 0..depth {
        let mut next: Vec<PathBuf> = level
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten())
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        next.sort();
        let of_pods = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == "kubepods" || name.ends_with("kubepods.slice")
        };
        if let Some(found) = next.iter().find(of_pods) {
            return Some(found.clone());
        }
        level = next;
    }
    None
}

fn mount_point() -> Result<PathBuf, KernelError> {
    let path = Path::new(MOUNTS);
    let mounts = fs::read_to_string(path).map_err(KernelError::pin("read", path))?;
    cgroup2(&mounts).ok_or(KernelError::NoCgroup)
}

/// Finds where cgroup2 is mounted, also on hosts that have version 1 beside it.
///
/// In a container the first one is the container's own; the DaemonSet mounts the node's below [`HOST`].
fn cgroup2(mounts: &str) -> Option<PathBuf> {
    let places = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place.replace("\\040", " ")))
    });
    let places: Vec<PathBuf> = places.collect();
    let of_host = places.iter().find(|place| place.starts_with(HOST));
    of_host.or(places.first()).cloned()
}

/// How deep below the root kubelets keep their pods: `kubelet.slice/kubelet-kubepods.slice` and the like.
const DEPTH: usize = 3;

const KUBELET_PORT: u16 = 10250;

/// Below it a container has what is the node's.
const HOST: &str = "/host";
const MOUNTS: &str = "/proc/self/mounts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_version_is_found_on_a_hybrid_host() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(cgroup2(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(cgroup2("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn in_a_container_the_nodes_goes_before_its_own() {
        let own = "cgroup /sys/fs/cgroup cgroup2 ro 0 0\n";
        let both = format!("{own}cgroup2 /host/sys/fs/cgroup cgroup2 ro 0 0\n");
        assert_eq!(cgroup2(&both), Some("/host/sys/fs/cgroup".into()));
        assert_eq!(cgroup2(own), Some("/sys/fs/cgroup".into()));
    }

    #[test]
    fn the_pods_cgroup_is_found_by_either_name() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(pods_below(root.path(), DEPTH), None);
        let slice = root.path().join("kubelet.slice/kubelet-kubepods.slice");
        fs::create_dir_all(slice.join("kubelet-kubepods-burstable.slice")).unwrap();
        fs::create_dir_all(root.path().join("system.slice/notkubepods")).unwrap();
        assert_eq!(pods_below(root.path(), DEPTH), Some(slice));
        let plain = root.path().join("kubepods");
        fs::create_dir_all(&plain).unwrap();
        assert_eq!(pods_below(root.path(), DEPTH), Some(plain));
    }

    #[test]
    fn a_mount_point_with_a_space_is_read() {
        assert_eq!(cgroup2("none /a\\040b cgroup2 rw 0 0"), Some("/a b".into()));
    }
}

//! What /proc tells of processes: which pod they belong to, which sockets they hold.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::NetError;

#[cfg(test)]
mod tests;

/// A process, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub(super) pid: u32,
}

// === impl Process ===

impl Process {
    /// Lists all processes that this one may see.
    pub(super) fn all() -> Result<Vec<Self>, NetError> {
        let entries = fs::read_dir(PROC).map_err(|source| NetError::Open {
            path: PROC.into(),
            source,
        })?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .map(|pid| Self { pid })
            .collect())
    }

    /// The UID of the pod whose process it is, as Kubernetes writes it.
    pub(super) fn pod_uid(self) -> Option<String> {
        pod_uid(&self.read("cgroup").ok()?)
    }

    /// Its cgroup below the cgroup2 mount.
    pub(super) fn cgroup(self) -> Option<PathBuf> {
        cgroup2(&self.read("cgroup").ok()?)
    }

    /// The name of its program, cut to 15 bytes.
    pub(super) fn command(self) -> Option<String> {
        Some(self.read("comm").ok()?.trim_end().to_owned())
    }

    /// When it began, in clock ticks since boot.
    pub(super) fn started(self) -> Option<u64> {
        started(&self.read("stat").ok()?)
    }

    /// The inode of its network namespace.
    pub(super) fn netns_inode(self) -> Option<u64> {
        inode_of_link(&self.link("ns/net")?)
    }

    /// Whether it holds one of these sockets, which are sorted.
    pub(super) fn holds_socket(self, inodes: &[u32]) -> bool {
        let Ok(descriptors) = fs::read_dir(self.path("fd")) else {
            return false;
        };
        descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|target| {
                let target = target.to_str()?;
                target.starts_with("socket:").then(|| inode_of_link(target))?
            })
            .any(|inode| u32::try_from(inode).is_ok_and(|inode| inodes.binary_search(&inode).is_ok()))
    }

    fn read(self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.path(name))
    }

    fn link(self, name: &str) -> Option<String> {
        Some(fs::read_link(self.path(name)).ok()?.to_str()?.into())
    }

    fn path(self, name: &str) -> PathBuf {
        Path::new(PROC).join(self.pid.to_string()).join(name)
    }
}

/// Finds the pod in /proc/PID/cgroup: the outermost path component that the kubelet's cgroupfs driver (`pod<uid>`) or
/// its systemd driver (`kubepods-burstable-pod<uid with underscores>.slice`) has made.
fn pod_uid(cgroups: &str) -> Option<String> {
    cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .find_map(pod_uid_of_component)
}

fn pod_uid_of_component(component: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        Some(slice) => {
            let (_, uid) = slice.rsplit_once("-pod")?;
            uid.replace('_', "-")
        }
        None => component.strip_prefix("pod")?.to_owned(),
    };
    looks_like_uid(&uid).then_some(uid)
}

/// A UUID, or the 32 digits of a hash by which the kubelet names the pods of its own manifests.
fn looks_like_uid(uid: &str) -> bool {
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    let digits = uid.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    digits && (groups == [8, 4, 4, 4, 12] || groups == [32])
}

/// Finds the unified hierarchy's path in /proc/PID/cgroup, from the root.
///
/// In a container, whose root is its own cgroup, a path begins with as many `..` as lead to the cgroup above both
/// (`kernfs_path_from_node_locked`). Above a pod and what is no pod that is the node's root.
fn cgroup2(cgroups: &str) -> Option<PathBuf> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let components = path.split('/').skip_while(|component| *component == "..");
    Some(components.collect())
}

/// Reads field 22 of /proc/PID/stat; the second one is the command in parentheses, which may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    after_command.split_whitespace().nth(19)?.parse().ok()
}

/// Reads the inode of a link such as `net:[4026531840]`.
fn inode_of_link(target: &str) -> Option<u64> {
    let (_, inode) = target.split_once(":[")?;
    inode.strip_suffix(']')?.parse().ok()
}

const PROC: &str = "/proc";

//! A machine's part of the host's cgroups: a child of the root in each hierarchy, of version 1, 2 or both side by side.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// A hierarchy that the host has mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where.
    pub(crate) place: PathBuf,
    /// `cgroup` or `cgroup2`.
    pub(crate) kind: String,
    /// What a mount of it is told, the same wherever it is mounted.
    pub(crate) options: String,
}

/// All that the host has mounted.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string(MOUNTS).with_context(|| format!("cannot read {MOUNTS}"))?;
    Ok(parse(&mounts))
}

/// Makes the machine's cgroups and moves the calling process into them.
pub(crate) fn join(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.place.join(name);
        let joined = prepare(&hierarchy, &folder).and_then(|()| fs::write(folder.join(PROCESSES), "0"));
        joined.with_context(|| format!("cannot join {}", folder.display()))?;
    }
    Ok(())
}

/// Moves the calling process into a child of the cgroup2 that is mounted in its own machine, where it is told apart
/// from all others of the machine.
pub(crate) fn join_child(name: &str) -> Result<()> {
    for hierarchy in hierarchies()?.into_iter().filter(Hierarchy::is_unified) {
        let folder = hierarchy.place.join(name);
        let joined = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(PROCESSES), "0"));
        joined.with_context(|| format!("cannot join {}", folder.display()))?;
    }
    Ok(())
}

/// Whether no process is left in any of the machine's cgroups.
pub(crate) fn is_empty(name: &str) -> Result<bool> {
    let folders = hierarchies()?.into_iter().map(|hierarchy| hierarchy.place.join(name));
    Ok(folders.into_iter().all(|folder| all_empty(&folder)))
}

/// Removes the machine's cgroups with all below them.
pub(crate) fn remove(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.place.join(name);
        remove_tree(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

// === impl Hierarchy ===

impl Hierarchy {
    pub(crate) fn is_unified(&self) -> bool {
        self.kind == "cgroup2"
    }
}

fn prepare(hierarchy: &Hierarchy, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if hierarchy.options.split(',').any(|option| option == "cpuset") {
        // A cpuset of version 1 begins with nothing, and takes no process so.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            fs::write(folder.join(file), fs::read(hierarchy.place.join(file))?)?;
        }
    }
    if hierarchy.is_unified() {
        let controllers = fs::read_to_string(hierarchy.place.join("cgroup.controllers"))?;
        let enabled: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
        fs::write(hierarchy.place.join("cgroup.subtree_control"), enabled.join(" "))?;
    }
    Ok(())
}

fn all_empty(folder: &Path) -> bool {
    let processes = fs::read_to_string(folder.join(PROCESSES)).unwrap_or_default();
    processes.is_empty() && children(folder).iter().all(|child| all_empty(child))
}

/// Files of a cgroup cannot be removed, and go with it.
fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let mut fields = line.split(' ');
        let (_, place, kind, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let of_mount = ["rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec"];
        let options: Vec<_> = options.split(',').filter(|option| !of_mount.contains(option)).collect();
        matches!(kind, "cgroup" | "cgroup2").then(|| Hierarchy {
            place: place.into(),
            kind: kind.to_owned(),
            options: options.join(","),
        })
    };
    mounts.lines().filter_map(hierarchy).collect()
}

const MOUNTS: &str = "/proc/self/mounts";
const PROCESSES: &str = "cgroup.procs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_with_what_tells_their_mounts_apart() {
        let mounts = "proc /proc proc rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let found: Vec<_> = parse(mounts)
            .into_iter()
            .map(|found| (found.place, found.kind, found.options))
            .collect();
        let expected = [
            ("/sys/fs/cgroup/cpu", "cgroup", "cpu,cpuacct"),
            ("/sys/fs/cgroup/systemd", "cgroup", "name=systemd"),
            ("/sys/fs/cgroup/unified", "cgroup2", ""),
        ];
        assert_eq!(
            found,
            expected.map(|(place, kind, options)| (place.into(), kind.to_owned(), options.to_owned()))
        );
    }
}

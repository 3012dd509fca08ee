//! Control groups: which of them a socket belongs to is fixed by the process that makes it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::sweep;

/// A cgroup below the root of the unified hierarchy, removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

// === impl Cgroup ===

impl Cgroup {
    /// Makes one; its name carries the process.
    pub fn create(name: &str) -> Self {
        let path = root().join(format!("{}{name}", sweep::prefix()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }

    /// Makes one below it.
    pub fn below(&self, name: &str) -> Self {
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A line for `/bin/sh` by which the shell joins.
    pub fn join(&self) -> String {
        format!("echo $$ > {}/cgroup.procs;", self.path.display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that is still inside keeps it; the next run's sweep removes it.
        let _ = fs::remove_dir(&self.path);
    }
}

/// The root of the unified hierarchy, wherever the host mounts it.
pub(crate) fn root() -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
        let mount = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2");
        PathBuf::from(mount.expect("the unified cgroup hierarchy is mounted")[1])
    };
    ROOT.get_or_init(find).clone()
}

//! Removes what killed runs left: namespaces with the processes in them, pins, cgroups, folders.
//!
//! Each thing's name begins with [`prefix`] of the run that made it; a run is dead when its process is.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path, sync::Once};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{cgroup, netns};

/// The beginning of the names of all that this process makes.
pub(crate) fn prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Removes the leftovers of dead runs, once per process.
pub(crate) fn leftovers() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        namespaces();
        pins();
        folders(&cgroup::root(), |path| fs::remove_dir(path).is_ok());
        folders(&std::env::temp_dir(), |path| fs::remove_dir_all(path).is_ok());
    });
}

/// Kills every process (not thread) in the network namespaces with these inodes.
pub(crate) fn kill_inside(inodes: &HashSet<u64>) {
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let inside = fs::metadata(entry.path().join("ns/net")).is_ok_and(|ns| inodes.contains(&ns.ino()));
        if inside && pid != own {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// Unpins all below a node's folder.
pub(crate) fn unpin(node: &str) {
    // A node whose agent never ran has none.
    let _ = fs::remove_dir_all(Path::new(BPFFS).join(PIN_FOLDER).join(node));
}

fn namespaces() {
    let dead: Vec<_> = entries(Path::new(netns::NAMED));
    let inodes = dead
        .iter()
        .filter_map(|path| Some(fs::metadata(path).ok()?.ino()))
        .collect();
    kill_inside(&inodes);
    for path in dead {
        netns::forget(&path);
    }
}

fn pins() {
    for path in entries(&Path::new(BPFFS).join(PIN_FOLDER)) {
        let _ = fs::remove_dir_all(path);
    }
}

fn folders(parent: &Path, remove: impl Fn(&Path) -> bool) {
    for path in entries(parent) {
        remove(&path);
    }
}

/// What in this folder belongs to a dead run.
fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_of_dead_run))
        .map(|entry| entry.path())
        .collect()
}

fn is_of_dead_run(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('-'))
        .and_then(|(pid, _)| pid.parse::<u32>().ok())
        .is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Where the BPF filesystem is mounted.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

const PIN_FOLDER: &str = "weft";
const PREFIX: &str = "weft-t";

//! Removes what killed runs left: namespaces with the processes in them, pins, cgroups, folders.
//!
//! Each thing's name begins with [`prefix`] of the run that made it; a run is dead when its process is.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Once,
};

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
    DONE.call_once(|| remove(is_of_dead_run));
}

/// Takes down all that this process made, whoever still holds it: for a signal, when no guard will be dropped.
pub fn take_down() {
    remove(is_own);
}

/// Kills every process (not thread) in the network namespaces with these inodes.
pub(crate) fn kill_inside(inodes: &HashSet<u64>) {
    for (pid, process) in processes() {
        if fs::metadata(process.join("ns/net")).is_ok_and(|ns| inodes.contains(&ns.ino())) {
            // It may have ended meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Kills every process whose command line names something in this folder: those that are in no namespace of ours.
fn kill_naming(folder: &Path) {
    let folder = folder.as_os_str().as_encoded_bytes();
    for (pid, process) in processes() {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        if line.windows(folder.len()).any(|part| part == folder) {
            // It may have ended meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Every other process (not thread), and its folder in /proc.
fn processes() -> impl Iterator<Item = (Pid, PathBuf)> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        (pid != own).then(|| (Pid::from_raw(pid.cast_signed()), entry.path()))
    })
}

/// Unpins all below a node's folder.
pub(crate) fn unpin(node: &str) {
    // A node whose agent never ran has none.
    let _ = fs::remove_dir_all(Path::new(BPFFS).join(PIN_FOLDER).join(node));
}

/// Removes what bears such a name. What cannot be removed is left for the next run.
fn remove(such: fn(&str) -> bool) {
    let namespaces = entries(Path::new(netns::NAMED), such);
    let inodes = namespaces
        .iter()
        .filter_map(|path| Some(fs::metadata(path).ok()?.ino()))
        .collect();
    kill_inside(&inodes);
    namespaces.iter().for_each(|path| netns::forget(path));
    for folder in [Path::new(BPFFS).join(PIN_FOLDER), std::env::temp_dir()] {
        for path in entries(&folder, such) {
            kill_naming(&path);
            let _ = fs::remove_dir_all(path);
        }
    }
    for path in entries(&cgroup::root(), such) {
        remove_cgroup(&path);
    }
}

/// Removes a cgroup with those below it; files of a cgroup cannot be removed, and go with it.
fn remove_cgroup(path: &Path) {
    for below in fs::read_dir(path).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&below.path());
        }
    }
    let _ = fs::remove_dir(path);
}

/// What in this folder bears such a name.
fn entries(folder: &Path, such: fn(&str) -> bool) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(such))
        .map(|entry| entry.path())
        .collect()
}

fn is_own(name: &str) -> bool {
    name.starts_with(&prefix())
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

//! A machine's file system: the host's as it is, with changes that only the machine sees and that end with it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};

use crate::{Machine, cgroup};

/// Makes it and moves into it. The calling process has a mount namespace of its own.
pub(crate) fn enter(machine: &Machine) -> Result<()> {
    // What is mounted here is not to be seen by the host.
    remount("/", MsFlags::MS_REC | MsFlags::MS_SLAVE)?;
    let hierarchies = cgroup::hierarchies()?;

    let memory = machine.folder.join("memory");
    let root = machine.folder.join("root");
    make(&memory)?;
    make(&root)?;
    filesystem("tmpfs", &memory, "mode=755")?;
    let [upper, work] = ["upper", "work"].map(|name| memory.join(name));
    make(&upper)?;
    make(&work)?;
    let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    filesystem("overlay", &root, &layers)?;

    let at = |path: &str| root.join(path.trim_start_matches('/'));
    filesystem("proc", &at("/proc"), "")?;
    filesystem("sysfs", &at("/sys"), "")?;
    for (kind, path) in [("bpf", "/sys/fs/bpf"), ("tmpfs", "/run"), ("tmpfs", "/tmp")] {
        filesystem(kind, &at(path), "")?;
    }
    for path in ["/dev", "/sys/kernel/tracing", "/sys/kernel/debug"] {
        if Path::new(path).is_dir() {
            bind(Path::new(path), &at(path), MsFlags::MS_REC)?;
        }
    }
    filesystem("tmpfs", &at("/sys/fs/cgroup"), "mode=755")?;
    for hierarchy in hierarchies {
        let place = at(&hierarchy.place.to_string_lossy());
        // Where version 2 is alone, it is mounted at the very place.
        make(&place)?;
        filesystem(&hierarchy.kind, &place, &hierarchy.options)?;
    }
    // /var/run is a link to /run nearly everywhere; what is not there is made in the machine's own layer.
    if !at("/var/run").exists() {
        symlink("/run", at("/var/run")).context("cannot link /var/run")?;
    }
    for disk in &machine.disks {
        let kept = machine.disk(disk);
        make(&kept)?;
        bind(&kept, &below(&root, disk), MsFlags::empty())?;
    }
    for share in machine.shares.iter().chain([&machine.folder]) {
        // Without what is mounted below: the root itself is.
        bind(share, &below(&root, share), MsFlags::empty())?;
    }
    leave_for(&root)?;
    for (setting, value) in SETTINGS {
        fs::write(Path::new("/proc/sys").join(setting), value).with_context(|| format!("cannot set {setting}"))?;
    }
    Ok(())
}

/// Makes `root` the root, and lets go of the old one.
fn leave_for(root: &Path) -> Result<()> {
    chdir(root).context("cannot enter the new root")?;
    pivot_root(".", ".").context("cannot change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot let go of the old root")?;
    chdir("/").context("cannot enter the new root")?;
    // Containers may share mounts with the machine, as manifests ask for by `mountPropagation`.
    remount("/", MsFlags::MS_REC | MsFlags::MS_SHARED)
}

fn filesystem(kind: &str, place: &Path, options: &str) -> Result<()> {
    make(place)?;
    mount(Some(kind), place, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("cannot mount {kind} ({options}) at {}", place.display()))
}

fn bind(from: &Path, place: &Path, depth: MsFlags) -> Result<()> {
    make(place)?;
    mount(Some(from), place, None::<&str>, MsFlags::MS_BIND | depth, None::<&str>)
        .with_context(|| format!("cannot mount {} at {}", from.display(), place.display()))
}

fn remount(place: &str, propagation: MsFlags) -> Result<()> {
    mount(None::<&str>, place, None::<&str>, propagation, None::<&str>)
        .with_context(|| format!("cannot change the propagation of {place}"))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A node forwards for its pods, and its bridge lets netfilter see what pods of the node send each other: without that
/// a service's answers would not find back.
const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];

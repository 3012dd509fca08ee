//! The BPF file system, which containers and small systems come without.

use std::{path::Path, process::Command};

use anyhow::Result;
use nix::sys::statfs::{self, BPF_FS_MAGIC};

use super::Missing;
use crate::process;

/// Mounts it where it is missing, or says how.
pub(super) fn ensure() -> Result<Option<Missing>> {
    if is_mounted() {
        return Ok(None);
    }
    let mut mount = Command::new("mount");
    mount.args(["-t", "bpf", "bpf", BPFFS]);
    if !process::is_root() {
        return Ok(Some(Missing {
            what: "the BPF file system".to_owned(),
            commands: vec![process::line(&mount)],
        }));
    }
    println!("setup: mounting the BPF file system at {BPFFS}");
    process::run(&mut mount)?;
    Ok(None)
}

/// A user who may not look inside the mount can still see what is mounted.
fn is_mounted() -> bool {
    statfs::statfs(Path::new(BPFFS)).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

const BPFFS: &str = "/sys/fs/bpf";

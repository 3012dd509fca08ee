//! Tools which we build from crates.io into the cache folder, each version in a folder of its own.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{process, workspace};

/// A tool built from its crate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Built {
    /// Links the kernel programs and writes their BTF.
    BpfLinker,
    /// Checks licences, bans and sources of the dependencies.
    CargoDeny,
}

// === impl Built ===

impl Built {
    /// The program's path in the cache.
    pub(crate) fn program(self) -> Result<PathBuf> {
        Ok(self.folder()?.join("bin").join(self.name()))
    }

    /// Whether the cache holds a copy that runs.
    pub(super) fn is_there(self) -> bool {
        self.program().is_ok_and(|program| process::runs(&program, "--version"))
    }

    /// Builds the tool unless it is there.
    pub(crate) fn ensure(self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        println!(
            "setup: building {} {} ({})",
            self.name(),
            self.version(),
            self.patience()
        );
        let folder = self.folder()?;
        let build = folder.join("build");
        let mut install = process::cargo();
        install
            .args([
                "install",
                self.name(),
                "--locked",
                "--force",
                "--version",
                self.version(),
            ])
            .args(self.features())
            .arg("--root")
            .arg(&folder)
            .arg("--target-dir")
            .arg(&build)
            .env("LLVM_PREFIX", format!("/usr/lib/llvm-{LLVM}"));
        process::run(&mut install)?;
        std::fs::remove_dir_all(&build)?;
        if !self.is_there() {
            bail!("{} does not run", self.program()?.display());
        }
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Self::BpfLinker => "bpf-linker",
            Self::CargoDeny => "cargo-deny",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::BpfLinker => "0.13.0",
            Self::CargoDeny => "0.19.9",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Self::BpfLinker => &["--no-default-features", "--features", LLVM_FEATURE],
            Self::CargoDeny => &[],
        }
    }

    fn patience(self) -> &'static str {
        match self {
            Self::BpfLinker => "under a minute",
            Self::CargoDeny => "two minutes on two cores",
        }
    }

    fn folder(self) -> Result<PathBuf> {
        workspace::cache(&format!("{}-{}", self.name(), self.version()))
    }
}

/// The LLVM which bpf-linker is linked to: the newest whose development files Debian ships. A compiler of the kernel
/// programs must not be newer.
pub(super) const LLVM: u32 = 22;

const LLVM_FEATURE: &str = "llvm-22";

//! The Python packages of tests' clients, and where they lie in the user's cache.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::cache;

/// Packages that are there for one version of Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    packages: PathBuf,
}

// === impl Python ===

impl Python {
    /// What is fetched: gRPC's own library for Python with what it imports, and a library of WebSockets.
    pub const PACKAGES: [&str; 3] = ["grpcio==1.85.3", "typing_extensions==4.16.0", "websockets==17.4"];

    /// Those for the user's `python3`.
    pub fn cached() -> Result<Self> {
        // Wheels with compiled parts are of one version only.
        let mut version = Command::new("python3");
        version.args(["-c", "import sys; print(sys.implementation.cache_tag)"]);
        let printed = version.output().context("cannot start python3")?;
        if !printed.status.success() {
            bail!("python3: {}", String::from_utf8_lossy(&printed.stderr).trim_end());
        }
        let tag = String::from_utf8(printed.stdout).context("python3 prints no text")?;
        let packages = Self::PACKAGES.map(|package| package.replace("==", "-")).join("-");
        Ok(Self {
            packages: cache()?.join(format!("{}-{packages}", tag.trim_end())),
        })
    }

    /// The folder for `PYTHONPATH`. It is made as a whole.
    pub fn packages(&self) -> &Path {
        &self.packages
    }

    /// Whether they are there.
    pub fn is_there(&self) -> bool {
        self.packages.is_dir()
    }
}

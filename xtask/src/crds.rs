//! `cargo xtask crds`: writes deploy/crds from the agent's types. A test of the agent fails while they are stale.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{
    build::{self, Profile},
    process, workspace,
};

/// Write deploy/crds, the definitions of Weft's own kinds, from the types in agent/src/cluster/convert
#[derive(Args)]
pub(crate) struct Crds {}

// === impl Crds ===

impl Crds {
    pub(crate) fn run(self) -> Result<()> {
        // The definitions need no kernel programs.
        let mut weft = Command::new(build::agent(Profile::Debug)?);
        weft.arg("crds").arg("--out").arg(workspace::root().join("deploy/crds"));
        process::run(&mut weft)
    }
}

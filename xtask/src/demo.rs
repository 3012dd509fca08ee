//! `cargo xtask demo`: builds the agent and the demonstration and becomes the latter, so that Ctrl-C is its own.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{
    build::{self, Profile},
    process,
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Show what Weft does: two simulated nodes, an agent on each, a CA, and what they make of the pods of a small shop
///
/// Needs root and no Kubernetes. Everything lives in network namespaces of its own and is gone at the end, also on
/// Ctrl-C.
#[derive(Args)]
#[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --keep")]
pub(crate) struct Demo {
    /// Leave the two nodes up until Ctrl-C, and print commands to try
    #[arg(long)]
    keep: bool,
}

// === impl Demo ===

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Test])?;
        let mut timing = Timing::default();
        timing.step("kernel programs", build::kernel_programs)?;
        let weft = timing.step("agent", || build::agent(Profile::Debug))?;
        timing.step("demonstration", || {
            process::run(process::cargo().args(["build", "--package", "tests", "--bin", "demo"]))
        })?;

        let mut demo = Command::new(workspace::target().join("debug/demo"));
        demo.env("WEFT_BIN", weft);
        if self.keep {
            demo.arg("--keep");
        }
        // It returns only when it fails.
        Err(demo.exec()).context("cannot start the demonstration")
    }
}

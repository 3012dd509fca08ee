//! `cargo xtask cluster test`: the tests that want a cluster which is up.

use anyhow::{Result, bail};
use clap::Args;

use super::Name;
use crate::{
    process,
    setup::{self, Need},
    test::{self, Tally, Test},
};

/// Run the tests on the cluster that is up, or on the one that KUBECONFIG names
///
/// They find the images that `load` brought.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    name: Name,

    #[command(flatten)]
    test: Test,
}

// === impl Check ===

impl Check {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Api])?;
        println!("{}", tests(&self.name, &self.test)?);
        Ok(())
    }
}

pub(super) fn tests(name: &Name, test: &Test) -> Result<Tally> {
    let mut cargo = process::cargo();
    cargo
        .args(["test", "--package", "tests", "--test", "kubernetes"])
        .env("WEFT_CLUSTER", &name.name);
    let tally = test::tests(cargo, test, &["--test-threads", THREADS])?;
    if tally.failed > 0 {
        println!("{tally}");
        bail!("tests failed");
    }
    Ok(tally)
}

/// Most of a test is waiting. Those that others would notice take turns by themselves.
const THREADS: &str = "6";

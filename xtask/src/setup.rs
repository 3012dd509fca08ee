//! `cargo xtask setup`: everything the other commands need and cargo does not bring.
//!
//! Packages come from Debian; what we build ourselves goes into the user's cache folder, keyed by version, so that the
//! next checkout finds it. What is there already is left alone.

mod bpffs;
mod built;
mod envoy;
mod go;
mod packages;
mod python;
mod toolchain;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use cluster::Program;

pub(crate) use self::{built::Built, envoy::envoy, toolchain::Toolchain};

/// Install what the other commands need: eBPF toolchain, bpf-linker, tools
///
/// Idempotent; the other commands run the part they need by themselves. The programs of the two-node Kubernetes take more
/// than ten minutes the first time. Where it may not install (no root, no apt) it prints what is missing and the commands
/// that bring it.
#[derive(Args)]
#[command(after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup build api")]
pub(crate) struct Setup {
    /// What to set up for; everything, if nothing is named
    needs: Vec<Need>,
}

/// The work which something is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Need {
    /// Building the kernel programs.
    Build,
    /// The tests in network namespaces, and the demo.
    Test,
    /// The benchmark.
    Bench,
    /// The machines with other kernels.
    Kernels,
    /// An API server alone.
    Api,
    /// The two-node Kubernetes.
    Cluster,
    /// The conformance suite of the Gateway API.
    Conformance,
    /// Clients of others, for the tests.
    Clients,
    /// The checks that run before a merge.
    Ci,
}

/// What is missing, and the commands which bring it.
struct Missing {
    what: String,
    commands: Vec<String>,
}

// === impl Setup ===

impl Setup {
    pub(crate) fn run(self) -> Result<()> {
        ensure(if self.needs.is_empty() {
            Need::value_variants()
        } else {
            &self.needs
        })
    }
}

/// Sets up what `needs` are for, or fails with the commands that a person must run; then says by what kernel programs are
/// built.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    bring(needs)?;
    println!("setup: all there, eBPF programs are built by {}", Toolchain::find()?);
    Ok(())
}

/// Sets up what `needs` are for, and says nothing where all is there.
pub(crate) fn bring(needs: &[Need]) -> Result<()> {
    let absent = packages::absent(needs);
    let mut missing = packages::install(&absent)?;
    if missing.is_empty() {
        Built::BpfLinker.ensure()?;
        if needs.contains(&Need::Ci) {
            Built::CargoDeny.ensure()?;
        }
        if needs.contains(&Need::Bench) {
            envoy::ensure()?;
        }
        if needs.contains(&Need::Cluster) {
            go::ensure(&Program::CLUSTER)?;
        } else if needs.contains(&Need::Api) {
            go::ensure(&Program::API)?;
        }
        if needs.contains(&Need::Conformance) {
            go::ensure(&Program::CONFORMANCE)?;
        }
        if needs.contains(&Need::Clients) {
            go::ensure(&Program::CLIENTS)?;
            python::ensure()?;
        }
    }
    if needs.contains(&Need::Test) || needs.contains(&Need::Bench) {
        missing.extend(bpffs::ensure()?);
    }
    if !missing.is_empty() {
        bail!("{}", instructions(&missing));
    }
    Ok(())
}

fn instructions(missing: &[Missing]) -> String {
    let lines = missing.iter().flat_map(|item| {
        let commands = item.commands.iter().map(|command| format!("  {command}"));
        std::iter::once(format!("  # {}", item.what)).chain(commands)
    });
    std::iter::once("cannot install this here; run as root, then try again:".to_owned())
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

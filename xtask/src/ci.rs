//! `cargo xtask ci`: every check that a change must pass, from the quickest to the longest.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{
    build, cluster, fuzz,
    kernels::{self, Kernels},
    process, rooms,
    setup::{self, Built, Need},
    test::{self, SkipList, Test},
    timing::Timing,
    workspace,
};

/// Run every check that a change must pass: what .ci/run calls
#[derive(Args)]
pub(crate) struct Ci {}

// === impl Ci ===

impl Ci {
    pub(crate) fn run(self) -> Result<()> {
        let mut timing = Timing::default();
        timing.step("setup", || {
            setup::ensure(&[
                Need::Build,
                Need::Test,
                Need::Clients,
                Need::Cluster,
                Need::Conformance,
                Need::Ci,
            ])
        })?;
        timing.step("fmt", || {
            process::run(process::cargo().args(["fmt", "--all", "--check"]))
        })?;
        timing.step("rooms", rooms::check)?;
        timing.step("deny", || process::run(&mut deny()?))?;
        timing.step("kernel programs", build::kernel_programs)?;
        timing.step("clippy, kernel programs", build::lint_kernel_programs)?;
        timing.step("clippy", || {
            process::run(&mut clippy(&["--workspace", "--all-targets"]))?;
            // Cargo counts it among no others, since it runs by name only.
            process::run(&mut clippy(&["--package", "tests", "--test", "kubernetes"]))
        })?;
        timing.step("doc", || process::run(&mut doc()))?;
        let tally = test::run(&mut timing, &Test::all(), SkipList::Binding)?;
        fuzz::check(&mut timing)?;
        let (on_kubernetes, conformance) = cluster::run(&mut timing)?;
        let kernels = kernels::run(&mut timing, &Kernels::all())?;
        println!("{timing}");
        println!("{tally}");
        println!("on Kubernetes: {on_kubernetes}");
        println!("{conformance}");
        println!("{kernels}");
        Ok(())
    }
}

/// Advisories are left out: their database comes from a git host, and a check must not fail with the network.
fn deny() -> Result<Command> {
    let mut deny = Command::new(Built::CargoDeny.program()?);
    deny.current_dir(workspace::root())
        .args(["--workspace", "--all-features", "check", "bans", "licenses", "sources"]);
    Ok(deny)
}

fn clippy(targets: &[&str]) -> Command {
    let mut clippy = process::cargo();
    clippy.arg("clippy").args(targets).args(["--", "-Dwarnings"]);
    clippy
}

/// Private items are documented too, hence links to them are good; tags are how clap's help writes placeholders.
fn doc() -> Command {
    let mut doc = process::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env(
            "RUSTDOCFLAGS",
            "-Dwarnings -Arustdoc::private_intra_doc_links -Arustdoc::invalid_html_tags",
        );
    doc
}

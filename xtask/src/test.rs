//! `cargo xtask test`: all tests that need Linux and root only.

mod skips;
mod tally;

use std::{
    io::{self, BufRead as _, BufReader},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

pub(crate) use self::tally::Tally;
use crate::{
    build::{self, Profile},
    process,
    setup::{self, Need},
    timing::Timing,
};

/// Run all tests that need only Linux and root
///
/// Builds what they need first. Tests which the kernel cannot run skip aloud; tests/skips.txt lists those that may on
/// the kernel of the project's own checks.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test half_close\n  cargo xtask test -- --nocapture"
)]
pub(crate) struct Test {
    /// Run only the tests whose names contain this
    filter: Option<String>,

    /// Passed on to the tests' own program
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// What a difference between the skipped tests and tests/skips.txt means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SkipList {
    /// Another kernel may skip others: say it.
    Advisory,
    /// The kernel is the list's: fail.
    Binding,
}

// === impl Test ===

impl Test {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Test])?;
        // Their tests skip aloud where they cannot be had; each for itself, one hides no other.
        for (need, what) in [(Need::Api, "API server"), (Need::Clients, "clients of others")] {
            if let Err(error) = setup::bring(&[need]) {
                println!("setup: no {what}: {error:#}");
            }
        }
        let mut timing = Timing::default();
        let tally = run(&mut timing, &self, SkipList::Advisory)?;
        println!("{timing}");
        println!("{tally}");
        Ok(())
    }

    /// All tests, as before a merge.
    pub(crate) fn all() -> Self {
        Self {
            filter: None,
            arguments: Vec::new(),
        }
    }
}

/// Builds, tests and compares the skips. Both kinds of tests run before the first failure is told.
pub(crate) fn run(timing: &mut Timing, test: &Test, skip_list: SkipList) -> Result<Tally> {
    timing.step("kernel programs", build::kernel_programs)?;
    let weft = timing.step("agent", || build::agent(Profile::Debug))?;

    let mut unit = process::cargo();
    unit.args(["test", "--workspace", "--exclude", "tests"]);
    let mut netns = process::cargo();
    netns.args(["test", "--package", "tests"]).env("WEFT_BIN", weft);

    let units = timing.step("unit tests", || tests(unit, test, &[]))?;
    let netns = timing.step("tests in network namespaces", || {
        tests(netns, test, &["--test-threads", NETNS_THREADS])
    })?;

    let tally = units + netns;
    if tally.failed > 0 {
        println!("{timing}");
        println!("{tally}");
        bail!("tests failed");
    }
    skips::compare(&tally, test.filter.as_deref(), skip_list)?;
    Ok(tally)
}

/// Runs cargo's tests to the end, showing what they print, and counts.
pub(crate) fn tests(mut cargo: Command, test: &Test, arguments: &[&str]) -> Result<Tally> {
    cargo
        .args(["--no-fail-fast", "--"])
        .args(arguments)
        .args(&test.filter)
        .args(&test.arguments);
    let line = process::line(&cargo);
    // Results come by standard output, skips by standard error, past libtest's capture.
    let (reader, writer) = io::pipe()?;
    let mut child = cargo
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start: {line}"))?;
    // It holds the pipe's other end, which must be closed before the lines can end.
    drop(cargo);
    let mut tally = Tally::default();
    for printed in BufReader::new(reader).lines() {
        let printed = printed.context("the tests' output is not UTF-8")?;
        println!("{printed}");
        tally.count(&printed);
    }
    let status = child.wait()?;
    // A test program that does not compile, or dies, prints no result which could be counted.
    if !status.success() && tally.failed == 0 {
        bail!("{status}: {line}");
    }
    Ok(tally)
}

/// Each test brings up agents and namespaces of its own; more at once starve each other's deadlines on a small machine.
const NETNS_THREADS: &str = "4";

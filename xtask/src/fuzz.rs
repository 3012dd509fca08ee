//! `cargo xtask fuzz`: libFuzzer on the parsers of peers' bytes, and how much of each the checked-in corpus reaches.
//!
//! The targets lie in tests/fuzz, and what broke one belongs into its corpus, which the tests replay.

mod coverage;
mod fuzzed;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::fuzzed::Fuzzed;
use crate::{
    process,
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Look for bytes that break the parsers of what peers send
///
/// What is found is written to target/fuzz; it belongs into tests/fuzz/corpus with the repair.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz hello --seconds 600\n  cargo xtask fuzz --coverage"
)]
pub(crate) struct Fuzz {
    /// Only this target: a folder of tests/fuzz/corpus
    target: Option<String>,

    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,

    /// Replay the corpora instead, and fail where they reach too little of a parser
    #[arg(long, conflicts_with_all = ["target", "seconds"])]
    coverage: bool,
}

// === impl Fuzz ===

impl Fuzz {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build])?;
        let mut timing = Timing::default();
        if self.coverage {
            coverage(&mut timing)?;
        } else {
            fuzz(&mut timing, self.target.as_deref(), self.seconds)?;
        }
        println!("{timing}");
        Ok(())
    }
}

/// What runs before a merge: each target for a moment, and the coverage.
pub(crate) fn check(timing: &mut Timing) -> Result<()> {
    fuzz(timing, None, SECONDS_OF_A_CHECK)?;
    coverage(timing)
}

fn fuzz(timing: &mut Timing, only: Option<&str>, seconds: u32) -> Result<()> {
    let mut targets = targets()?;
    targets.retain(|target| only.is_none_or(|only| only == target));
    if targets.is_empty() {
        bail!("no such target; there are: {}", self::targets()?.join(", "));
    }
    let fuzzer = timing.step("fuzzer", build)?;
    let fuzzed: Vec<Fuzzed> = timing.step("fuzz", || {
        let run = |target: &String| Fuzzed::run(&fuzzer, target, seconds);
        targets.iter().map(run).collect()
    })?;
    println!("{}", fuzzed::TITLE);
    fuzzed.iter().for_each(|fuzzed| println!("{fuzzed}"));
    Ok(())
}

fn coverage(timing: &mut Timing) -> Result<()> {
    let targets = targets()?;
    let fuzzer = timing.step("fuzzer", build)?;
    timing.step("coverage", || coverage::measure(&fuzzer, &targets))
}

/// The names of the targets, as their corpora bear them.
fn targets() -> Result<Vec<String>> {
    let folders = fs::read_dir(corpora()).context("cannot list the corpora")?;
    let names = folders.map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Builds the fuzzer, in cargo's usual folder: the wrapper is part of the names of what it compiles.
fn build() -> Result<PathBuf> {
    let mut build = process::cargo();
    build
        .args(["build", "--package", "fuzz", "--features", "libfuzzer", "--bin", "fuzz"])
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            workspace::root().join("tests/fuzz/instrument"),
        );
    process::run(&mut build)?;
    Ok(workspace::target().join("debug/fuzz"))
}

/// The fuzzer on a target, which writes its profile into our folder.
fn fuzzer(program: &Path, target: &str) -> Command {
    let mut fuzzer = Command::new(program);
    fuzzer
        .env("WEFT_FUZZ_TARGET", target)
        .env("LLVM_PROFILE_FILE", profile(target));
    fuzzer
}

fn corpora() -> PathBuf {
    workspace::root().join("tests/fuzz/corpus")
}

/// Where finds, grown corpora and profiles lie.
fn folder() -> PathBuf {
    workspace::target().join("fuzz")
}

fn profile(target: &str) -> PathBuf {
    folder().join(target).with_extension("profraw")
}

/// Enough for what a change breaks at once; long runs are a person's.
const SECONDS_OF_A_CHECK: u32 = 6;

//! `cargo xtask build`: the kernel programs first, then the agent which embeds them.

mod strip;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use crate::{
    process,
    setup::{self, Built, Need, Toolchain},
    timing::Timing,
    workspace,
};

/// Build the kernel programs and the agent
#[derive(Args)]
#[command(after_help = "The agent is target/debug/weft, or target/release/weft with --release.")]
pub(crate) struct Build {
    /// Build the agent with optimisations; the kernel programs always are
    #[arg(long)]
    release: bool,
}

/// How the agent is compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// Quick to build.
    Debug,
    /// Quick to run.
    Release,
}

// === impl Build ===

impl Build {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build])?;
        let profile = if self.release { Profile::Release } else { Profile::Debug };
        let mut timing = Timing::default();
        timing.step("kernel programs", kernel_programs)?;
        let weft = timing.step("agent", || agent(profile))?;
        println!("{}", weft.display());
        Ok(())
    }
}

// === impl Profile ===

impl Profile {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Release => &["--release"],
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds the kernel programs and puts them where the agent's build script and the tests find them.
///
/// The object is replaced only when it differs: else each run would build the agent anew.
pub(crate) fn kernel_programs() -> Result<()> {
    process::run(&mut for_bpf("build", &Toolchain::find()?)?)?;
    OBJECTS.iter().try_for_each(|name| publish(name))
}

fn publish(name: &str) -> Result<()> {
    let built = bpf_target().join(TARGET).join("release").join(name);
    let object = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let object = strip::without_debug(&object).with_context(|| format!("cannot strip {}", built.display()))?;
    let embedded = workspace::bpf_object(name);
    if fs::read(&embedded).is_ok_and(|old| old == object) {
        return Ok(());
    }
    let folder = embedded.parent().context("the object lies in a folder")?;
    fs::create_dir_all(folder)?;
    fs::write(&embedded, object).with_context(|| format!("cannot write {}", embedded.display()))
}

/// Lints the kernel programs as they are built, by the clippy of the toolchain that builds them.
///
/// The flag reaches clippy by the wrapper: `cargo clippy` itself would run the clippy of the toolchain that runs us.
pub(crate) fn lint_kernel_programs() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let mut check = for_bpf("check", &toolchain)?;
    check
        .env("RUSTC_WORKSPACE_WRAPPER", toolchain.clippy())
        .env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
    process::run(&mut check)
}

fn for_bpf(command: &str, toolchain: &Toolchain) -> Result<Command> {
    let mut cargo = process::cargo();
    cargo
        .args([command, "--package", "agent-ebpf", "--package", "balancer", "--release"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(bpf_target())
        .env("RUSTC", toolchain.rustc())
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", "-Cdebuginfo=2\x1f-Clink-arg=--btf")
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", Built::BpfLinker.program()?);
    Ok(cargo)
}

/// Apart from cargo's other output: another compiler's artefacts lie here.
fn bpf_target() -> PathBuf {
    workspace::target().join("bpf-build")
}

/// Builds the agent and returns its path.
pub(crate) fn agent(profile: Profile) -> Result<PathBuf> {
    let mut build = process::cargo();
    build
        .args(["build", "--package", "agent", "--bin", "weft"])
        .args(profile.arguments());
    process::run(&mut build)?;
    Ok(workspace::target().join(profile.folder()).join("weft"))
}

/// The agent's programs, and what the tests put beside them.
const OBJECTS: [&str; 2] = ["weft-ebpf", "balancer"];

/// Builds the tests in network namespaces and returns the path of their program.
pub(crate) fn netns_tests() -> Result<PathBuf> {
    let mut build = process::cargo();
    build.args([
        "test",
        "--package",
        "tests",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    let messages = process::output(&mut build)?;
    let executable = |message: Value| {
        (message["target"]["name"] == "netns").then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages
        .lines()
        .filter_map(|message| serde_json::from_str(message).ok())
        .find_map(executable)
        .context("cargo names no program of the tests")
}

const TARGET: &str = "bpfel-unknown-none";

//! `cargo xtask bench`: what Weft costs, as ratios to a floor and to a peer, measured in one run.
//!
//! ```text
//! CPU 0: loads and servers            CPU 1: the proxies, each alone while it is measured
//!
//! direct      client pod ─────────────────────────────────────────► server pod
//! floor       client pod ─► [floor] ──────────────────────────────► server pod     one pass, no veth
//! weft        client pod ─► [agent] ──────────────────────────────► server pod     one pass, no veth
//! envoy       client pod ─► [sidecar] ──── veth ────► [sidecar] ──► server pod
//! shared      client pod ─► [Envoy] ────── veth ──────────────────► server pod     requests only
//!
//! across nodes, mutual TLS 1.3 between them, but for the floor:
//! floor       client pod ─► [floor] ──── veth ────► [floor] ──────► server pod     what two passes and the wire cost
//! weft        client pod ─► [agent] ════ veth ════► [agent] ──────► server pod     pooled, and a handshake for each
//! envoy       client pod ─► [sidecar] ══ veth ════► [sidecar] ────► server pod     a handshake for each
//! ```
//!
//! The floor stands where Weft stands, so that the kernel's part of both is alike: it accepts in the client's namespace
//! and dials from within the server's, thus no packet of it crosses a veth either. It needs no setns on the way: its
//! listener is older than its only move.
//!
//! Bytes are measured, and requests that proxies serve one by one (HTTP/1.1, HTTP/2, gRPC), each by a server of its own.
//!
//! Rounds are interleaved, target by target: a machine that slows down slows all of them. A ratio is the median over
//! rounds of the ratio within a round.

mod ca;
mod credentials;
mod enrolment;
mod envoy;
mod figures;
mod floor;
mod layer;
mod load;
mod memory;
mod metrics;
mod origin;
mod program;
mod proof;
mod report;
mod rounds;
mod target;
mod topology;
mod weft;
mod workloads;

use std::{fs, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use nix::sys::signal::{SigSet, Signal};

use self::{
    load::Load,
    report::Report,
    target::{Kind, Plan},
    topology::Topology,
};
use crate::{
    build::{self, Profile},
    process,
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Measure what Weft costs, beside a floor and a peer
///
/// Needs root. Every target is up at the same time and measured in turn; proxies share one CPU, load and servers another.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --json target/bench.json\n  cargo xtask bench --only floor,weft --load bulk,connections --rounds 9 --brief"
)]
pub(crate) struct Bench {
    /// Write all samples and figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// How often each figure is measured
    #[arg(long, value_name = "N", default_value = "5")]
    rounds: usize,

    /// How long each measurement lasts
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    seconds: u64,

    /// Measure only these
    #[arg(long, value_name = "TARGETS", value_enum, value_delimiter = ',')]
    only: Vec<Kind>,

    /// Measure only under these loads
    #[arg(long, value_name = "LOADS", value_enum, value_delimiter = ',')]
    load: Vec<Load>,

    /// Leave out memory and the time that enrolment takes
    #[arg(long)]
    brief: bool,
}

// === impl Bench ===

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Bench])?;
        let kinds = if self.only.is_empty() {
            Kind::ALL.to_vec()
        } else {
            self.only.clone()
        };
        let loads = if self.load.is_empty() {
            Load::ALL.to_vec()
        } else {
            self.load.clone()
        };
        let mut timing = Timing::default();
        if kinds.contains(&Kind::Weft) {
            timing.step("kernel programs", build::kernel_programs)?;
            timing.step("agent", || build::agent(Profile::Release))?;
        }
        timing.step("floor, server, load", yardstick)?;

        clean_up_on_signals()?;
        let topology = timing.step("nodes and pods", Topology::start)?;
        let mut plan = timing.step("proxies", || Plan::start(&topology, &kinds))?;
        for version in plan.versions() {
            println!("{version}");
        }
        let duration = Duration::from_secs(self.seconds);
        let samples = timing.step("rounds", || rounds::measure(&mut plan, &loads, self.rounds, duration))?;
        proof::all_encrypted(&topology, &kinds)?;
        proof::all_requests_served(&topology, &samples, duration)?;
        let mut memory = Vec::new();
        let mut enrolment = None;
        if !self.brief {
            memory = timing.step("memory", || memory::measure(&plan, &topology))?;
        }
        if !self.brief && kinds.contains(&Kind::Weft) {
            enrolment = Some(timing.step("enrolment", || enrolment::measure(&topology))?);
        }
        println!("{timing}\n");

        let report = Report {
            versions: plan.versions(),
            rounds: self.rounds,
            duration,
            samples,
            memory,
            enrolment,
        };
        print!("{report}");
        if let Some(file) = &self.json {
            fs::write(file, report.json()?).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Ctrl-C and SIGTERM take everything down at once: the guards of the main thread are not waited for.
fn clean_up_on_signals() -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    // Threads inherit the mask; processes do not (std empties it).
    signals.thread_block()?;
    thread::spawn(move || {
        // Only the signals of the set come here.
        let _ = signals.wait();
        harness::take_down();
        std::process::exit(130);
    });
    Ok(())
}

/// Builds the programs that the benchmark measures by.
fn yardstick() -> Result<()> {
    process::run(process::cargo().args(["build", "--release", "--package", "yardstick"]))
}

/// A program of ours, built with optimisations.
fn release(program: &str) -> PathBuf {
    workspace::target().join("release").join(program)
}

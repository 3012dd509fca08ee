//! `cargo xtask cluster up`: builds what is missing, starts the cluster, and leaves it up, or nothing at all.

use std::{path::PathBuf, process, thread};

use anyhow::Result;
use clap::Args;
use cluster::Cluster;
use nix::sys::signal::{SigSet, Signal};

use super::Name;
use crate::{
    image::{Arch, Which},
    process as programs,
    setup::{self, Need},
    timing::Timing,
    workspace,
};

/// Start the cluster, unless it is up
///
/// A start that fails or is interrupted leaves nothing behind.
#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    name: Name,

    /// Leave what has started when the rest fails, to look at it
    #[arg(long)]
    keep: bool,
}

// === impl Up ===

impl Up {
    pub(crate) fn run(self) -> Result<()> {
        setup::ensure(&[Need::Build, Need::Cluster])?;
        let cluster = self.name.cluster()?;
        if cluster.runs()? {
            println!("the cluster {} is up already", self.name.name);
        } else {
            let mut timing = Timing::default();
            start(&mut timing, &cluster, self.keep)?;
            println!("{timing}");
        }
        println!("{}", hints(&cluster)?);
        Ok(())
    }
}

/// Starts the cluster, whatever is left of an earlier one.
pub(crate) fn start(timing: &mut Timing, cluster: &Cluster, keep: bool) -> Result<()> {
    let first = timing.step("machines' program", first_process)?;
    let images = timing.step("the cluster's own images", || {
        [Which::Pause, Which::Coredns]
            .into_iter()
            .map(|which| which.build(Arch::Amd64))
            .collect::<Result<Vec<_>>>()
    })?;
    cluster.down()?;
    if !keep {
        take_down_on_signals(cluster.clone())?;
    }
    let started = timing
        .step("control plane", || cluster.start_control_plane(&first))
        .and_then(|()| timing.step("nodes", || cluster.start_nodes()))
        .and_then(|()| timing.step("images", || images.iter().try_for_each(|image| cluster.load(image))))
        .and_then(|()| timing.step("DNS, all ready", || cluster.finish()));
    if started.is_err() && !keep {
        cluster.down()?;
    }
    started
}

fn first_process() -> Result<PathBuf> {
    let mut build = programs::cargo();
    build.args(["build", "--package", "cluster", "--bin", "cluster-machine"]);
    programs::run(&mut build)?;
    Ok(workspace::target().join("debug/cluster-machine"))
}

/// From here to the end of the process, Ctrl-C takes the cluster down, at whatever step.
fn take_down_on_signals(cluster: Cluster) -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    // Threads that are started later inherit the mask; processes do not (std empties it).
    signals.thread_block()?;
    thread::spawn(move || {
        // Only the signals of the set come here.
        let _ = signals.wait();
        println!("interrupted: taking the cluster down");
        let code = if cluster.down().is_ok() { 130 } else { 1 };
        process::exit(code);
    });
    Ok(())
}

fn hints(cluster: &Cluster) -> Result<String> {
    let kubectl = cluster.kubectl()?;
    let command = programs::line(&kubectl.command(["get", "pods", "--all-namespaces"]));
    let nodes = cluster.nodes()?;
    let shells = nodes.iter().filter_map(|node| {
        let first = node.machine.first_process()?;
        Some(format!(
            "  nsenter --all --target {first}    # a shell on {}",
            node.name
        ))
    });
    Ok(shells.fold(format!("try:\n  {command}"), |hints, shell| format!("{hints}\n{shell}")))
}

//! Memory: of proxies that idle, of idle connections, of workloads that the agent knows.

use std::{fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    program::{Cpu, Program},
    release,
    target::{Kind, Plan, Target, Way},
    topology::Topology,
    workloads::Workloads,
};

/// What a way's proxies hold, in bytes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Memory {
    pub(super) way: Way,
    /// Resident, after the rounds and without connections.
    pub(super) idle: u64,
    /// Resident, for each of the idle connections; each has carried one request.
    pub(super) per_connection: f64,
    /// The kernel's, for each of them, all sockets of the way together, the client's and the server's too.
    pub(super) kernel_per_connection: f64,
    /// Resident, for 1,000 workloads more in the mesh; of one agent.
    pub(super) per_1000_workloads: Option<u64>,
}

/// Measures every target once: memory does not depend on a neighbour's load.
pub(super) fn measure(plan: &Plan<'_>, topology: &Topology) -> Result<Vec<Memory>> {
    let idle: Vec<_> = plan
        .targets
        .iter()
        .map(|target| plan.resident(target))
        .collect::<Result<_>>()?;
    let mut memory = Vec::new();
    for (target, idle) in plan.targets.iter().zip(idle) {
        println!("{CONNECTIONS} idle connections: {}", target.way);
        memory.push(connections(plan, target, idle)?);
    }
    if let Some(target) = plan.targets.iter().position(|target| target.way.kind == Kind::Weft) {
        let grown = workloads(plan, &plan.targets[target], topology)?;
        memory[target].per_1000_workloads = Some(grown);
    }
    Ok(memory)
}

fn connections(plan: &Plan<'_>, target: &Target<'_>, idle: u64) -> Result<Memory> {
    let kernel_before = kernel()?;
    let mut command = Command::new(release("load"));
    command.args(["idle", &target.address.to_string(), &CONNECTIONS.to_string()]);
    let mut load = Program::start(target.client, Cpu::Load, command)?;
    load.line()?;
    settle();
    let (after, kernel_after) = (plan.resident(target)?, kernel()?);
    drop(load);
    settle();
    Ok(Memory {
        way: target.way,
        idle,
        // From before the first target's connections: a proxy of two targets keeps the heap of the first.
        per_connection: (after as f64 - idle as f64) / CONNECTIONS as f64,
        kernel_per_connection: (kernel_after as f64 - kernel_before as f64) / CONNECTIONS as f64,
        per_1000_workloads: None,
    })
}

/// Adds 1,000 pods of another node and removes them again.
fn workloads(plan: &Plan<'_>, target: &Target<'_>, topology: &Topology) -> Result<u64> {
    println!("1,000 workloads");
    let before = plan.resident(target)?;
    let workloads = Workloads::write(topology.lab.manifests(), 1000);
    settle();
    let after = plan.resident(target)?;
    drop(workloads);
    Ok(after.saturating_sub(before))
}

/// The kernel's memory which sockets live in: objects, and pages of their buffers.
fn kernel() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let slab = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("Slab:"))
        .context("meminfo tells of slabs")?;
    let kilobytes: u64 = slab.trim().trim_end_matches(" kB").parse()?;
    let sockstat = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockstat
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .context("sockstat tells of TCP")?;
    let (_, pages) = tcp.rsplit_once("mem ").context("sockstat tells of memory")?;
    Ok(kilobytes * 1024 + pages.trim().parse::<u64>()? * 4096)
}

/// Buffers that idle connections give back go after a while; closed sockets, by RCU.
fn settle() {
    thread::sleep(Duration::from_secs(3));
}

/// Two descriptors for each fit into the 20,000 which a process may have on small systems.
const CONNECTIONS: u64 = 8000;

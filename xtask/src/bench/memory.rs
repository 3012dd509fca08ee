//! Memory: of proxies that idle, of idle connections, of workloads that the agent knows.

use std::{fs, net::SocketAddrV4, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{
    layer::Layer,
    program::{Cpu, Program},
    release,
    target::{Kind, Plan, Target, Way},
    topology::{Place, Topology},
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
        let Some(address) = target.address(Layer::Bytes) else {
            continue;
        };
        println!("{CONNECTIONS} idle connections: {}", target.way);
        memory.push(connections(plan, target, address, idle)?);
    }
    let is_first = |way: Way| way.kind == Kind::Weft && way.place == Place::SameNode;
    let target = plan.targets.iter().find(|target| is_first(target.way));
    if let Some((target, memory)) = target.zip(memory.iter_mut().find(|memory| is_first(memory.way))) {
        memory.per_1000_workloads = Some(workloads(plan, target, topology)?);
    }
    Ok(memory)
}

fn connections(plan: &Plan<'_>, target: &Target<'_>, address: SocketAddrV4, idle: u64) -> Result<Memory> {
    let kernel_before = kernel()?;
    let mut command = Command::new(release("load"));
    command.args(["idle", &address.to_string(), &CONNECTIONS.to_string()]);
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

//! The agents of both nodes.

use std::process::Command;

use anyhow::Result;
use harness::{Netns, Node, wait};

use super::{
    program::{Cpu, Program},
    release,
    topology::Topology,
};

/// Starts an agent on each node and waits until the mesh's pods are captured.
///
/// No access log: neither the floor nor the peer writes one. One lane: it has one CPU.
pub(super) fn start(topology: &Topology) -> Result<[Program; 2]> {
    let agents = [agent(topology, &topology.near)?, agent(topology, &topology.far)?];
    let pods = &topology.mesh;
    for pod in [&pods.client, &pods.near, &pods.far] {
        wait::until(wait::PATIENCE, "the agents capture the mesh's pods", || {
            is_captured(pod.netns())
        });
    }
    Ok(agents)
}

fn agent(topology: &Topology, node: &Node) -> Result<Program> {
    let mut command = Command::new(release("weft"));
    command
        .arg("agent")
        .arg("--manifests")
        .arg(topology.lab.manifests().folder())
        .args(["--node", node.name()]);
    command
        .arg("--socket")
        .arg(topology.lab.folder().join(format!("{}.sock", node.name())));
    command.args(["--access-log", "off", "--log", "warn", "--lanes", "1"]);
    Program::start(node.netns(), Cpu::Proxy, command)
}

/// Whether the pod's connections take the agent's route.
fn is_captured(netns: &Netns) -> bool {
    netns
        .try_ip("rule show\n")
        .is_ok_and(|rules| rules.contains(&TABLE.to_string()))
}

/// The agent's routing table in each captured pod.
const TABLE: u32 = 0x7765;

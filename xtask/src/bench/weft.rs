//! The agents of both nodes.

use std::{path::PathBuf, process::Command};

use agent_common::names::{ABI, LINKS, PODS, program};
use anyhow::Result;
use harness::{Node, Pod, wait};

use super::{
    program::{Cpu, Program},
    release,
    topology::Topology,
};

/// Starts an agent on each node and waits until the mesh's pods are captured.
///
/// No access log: neither the floor nor the peer writes one. One lane: it has one CPU.
pub(super) fn start(topology: &Topology) -> Result<[Program; 2]> {
    let (near, far, pods) = (&topology.near, &topology.far, &topology.mesh);
    let agents = [agent(topology, near)?, agent(topology, far)?];
    for (node, pod) in [(near, &pods.client), (near, &pods.near), (far, &pods.far)] {
        let link = link(node, pod);
        wait::until(wait::PATIENCE, format!("captured: {}", link.display()), || {
            link.exists()
        });
    }
    Ok(agents)
}

/// The pin of a pod's program; it is there as soon as the pod is captured.
pub(super) fn link(node: &Node, pod: &Pod) -> PathBuf {
    node.pins()
        .join(ABI)
        .join(PODS)
        .join(pod.uid())
        .join(LINKS)
        .join(program::LOOKUP)
}

fn agent(topology: &Topology, node: &Node) -> Result<Program> {
    let mut command = Command::new(release("weft"));
    command
        .arg("agent")
        .arg("--manifests")
        .arg(topology.lab.manifests().folder())
        .args(["--node", node.name()])
        .arg("--socket")
        .arg(topology.lab.folder().join(format!("{}.sock", node.name())))
        .arg("--state")
        .arg(topology.lab.folder().join(format!("{}.state", node.name())))
        .args(["--access-log", "off", "--log", "warn", "--lanes", "1"]);
    Program::start(node.netns(), Cpu::Proxy, command)
}

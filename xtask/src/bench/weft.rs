//! The agents of both nodes, with certificates of a real CA: across nodes all is mutual TLS, by policy.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    path::PathBuf,
    process::Command,
};

use agent_common::names::{ABI, LINKS, PODS, program};
use anyhow::Result;
use harness::{Netns, Node, Pod, wait};

use super::{
    layer::Layer,
    metrics,
    program::{Cpu, Program},
    release,
    topology::{Mesh, Place, Topology},
};

/// Starts an agent on each node and waits until the mesh's pods are captured and have certificates.
///
/// No access log: neither the floor nor the peer writes one. One lane: it has one CPU.
pub(super) fn start(topology: &Topology, mesh: &Mesh, pool: &str) -> Result<[Program; 2]> {
    let Mesh { pods, near, far } = mesh;
    let agents = [agent(topology, near, pool)?, agent(topology, far, pool)?];
    for (node, pod) in [(near, &pods.client), (near, &pods.near), (far, &pods.far)] {
        let link = link(node, pod);
        wait::until(wait::PATIENCE, format!("captured: {}", link.display()), || {
            link.exists()
        });
    }
    for place in Place::ALL {
        let server = pods.address(place, Layer::Bytes);
        wait::until(wait::PATIENCE, "an answer through the mesh", || {
            metrics::answers(pods.client.netns(), server)
        });
    }
    Ok(agents)
}

/// The TLS handshakes that a node's agent has counted: all, and those which a ticket made short.
pub(super) fn handshakes(node: &Netns) -> Result<(f64, f64)> {
    let text = metrics::get(node, ADMIN, "/metrics")?;
    let count = |labels| metrics::sum(&text, "weft_tls_handshakes_total", labels);
    Ok((count(&[]), count(&["kind=\"resumed\""])))
}

/// The requests that a node's agent has served, each on its own.
pub(super) fn requests(node: &Netns) -> Result<f64> {
    let text = metrics::get(node, ADMIN, "/metrics")?;
    Ok(metrics::sum(&text, "weft_requests_total", &[]))
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

fn agent(topology: &Topology, node: &Node, pool: &str) -> Result<Program> {
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
        .args(["--access-log", "off", "--log", "warn", "--lanes", "1"])
        .args(["--pool", pool])
        .args(topology.ca.arguments(node)?);
    Program::start(node.netns(), Cpu::Proxy, command)
}

/// Where an agent serves its metrics, in its node's namespace.
const ADMIN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 15_020);

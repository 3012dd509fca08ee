//! How long it takes until pods are captured that a manifest has put into the mesh.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use harness::{Node, Object, Pod};
use serde::Serialize;

use super::{report::seconds, topology::Topology, weft};

/// From the write of a manifest until the kernel captures; reading and batching of manifests are part of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Enrolment {
    /// A pod labelled by itself.
    #[serde(serialize_with = "seconds")]
    pub(super) one: Duration,
    /// The pods of a namespace that is labelled.
    #[serde(serialize_with = "seconds")]
    pub(super) many: Duration,
}

/// Makes pods outside the mesh and lets them join.
pub(super) fn measure(topology: &Topology) -> Result<Enrolment> {
    let manifests = topology.lab.manifests();
    manifests.plain("crowd");
    let node = &topology.near;
    let mut pods: Vec<_> = (0..=MANY)
        .map(|number| node.pod(&format!("crowd/pod-{number}")).start())
        .collect();
    // The agent has read what came before, so that only what follows is timed.
    thread::sleep(Duration::from_secs(2));

    let mut first = pods.remove(0);
    let start = Instant::now();
    first.update(|object| object["metadata"]["labels"]["weft.dev/mesh"] = "enabled".into());
    let one = captured(node, std::slice::from_ref(&first), start)?;

    let start = Instant::now();
    manifests.enrolled("crowd");
    let many = captured(node, &pods, start)?;

    drop(pods);
    manifests.delete(&Object::namespace("crowd"));
    Ok(Enrolment { one, many })
}

fn captured(node: &Node, pods: &[Pod], start: Instant) -> Result<Duration> {
    let links: Vec<_> = pods.iter().map(|pod| weft::link(node, pod)).collect();
    while !links.iter().all(|link| Path::exists(link)) {
        ensure!(
            start.elapsed() < PATIENCE,
            "the agent does not capture {} pods",
            pods.len()
        );
        thread::sleep(Duration::from_micros(200));
    }
    Ok(start.elapsed())
}

/// As many pods as a large node may run.
pub(super) const MANY: usize = 250;

const PATIENCE: Duration = Duration::from_secs(30);

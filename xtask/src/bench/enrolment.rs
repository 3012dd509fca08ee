//! How long it takes until pods are captured that a manifest has put into the mesh.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use harness::{Node, Object, Pod};
use serde::Serialize;

use super::{report::seconds, topology::Topology, weft, workloads::Workloads};

/// From the write of a manifest until the kernel captures; reading and batching of manifests are part of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Enrolment {
    /// A pod labelled by itself, the median of some.
    #[serde(serialize_with = "seconds")]
    pub(super) one: Duration,
    /// The same in a folder of so many pods.
    #[serde(serialize_with = "seconds")]
    pub(super) one_of_crowd: Duration,
    /// The pods of a namespace that is labelled.
    #[serde(serialize_with = "seconds")]
    pub(super) many: Duration,
}

/// Makes pods outside the mesh and lets them join.
pub(super) fn measure(topology: &Topology) -> Result<Enrolment> {
    let manifests = topology.lab.manifests();
    ["single", "crowd"]
        .iter()
        .for_each(|namespace| manifests.plain(namespace));
    let node = &topology.mesh.near;
    let start = |namespace: &'static str| move |number| node.pod(&format!("{namespace}/pod-{number}")).start();
    let mut singles: Vec<_> = (0..2 * SOME).map(start("single")).collect();
    let pods: Vec<_> = (0..MANY).map(start("crowd")).collect();
    let (first, second) = singles.split_at_mut(SOME);
    quiet();
    let one = one_by_one(node, first)?;

    let start = Instant::now();
    manifests.enrolled("crowd");
    let many = captured(node, &pods, start)?;
    drop(pods);

    let others = Workloads::write(manifests, CROWD);
    quiet();
    let one_of_crowd = one_by_one(node, second)?;
    drop(others);

    drop(singles);
    ["single", "crowd"]
        .iter()
        .for_each(|namespace| manifests.delete(&Object::namespace(namespace)));
    Ok(Enrolment {
        one,
        one_of_crowd,
        many,
    })
}

/// The agent has read what came before, so that only what follows is timed.
fn quiet() {
    thread::sleep(Duration::from_secs(5));
}

fn one_by_one(node: &Node, pods: &mut [Pod]) -> Result<Duration> {
    let mut took = Vec::new();
    for pod in pods {
        let start = Instant::now();
        pod.update(|object| object["metadata"]["labels"]["weft.dev/mesh"] = "enabled".into());
        took.push(captured(node, std::slice::from_ref(pod), start)?);
        thread::sleep(Duration::from_millis(200));
    }
    took.sort();
    Ok(took[took.len() / 2])
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

/// Of so many pods the median is taken.
const SOME: usize = 9;
/// As many pods as a large mesh has.
pub(super) const CROWD: u16 = 10_000;
/// As many pods as a large node may run.
pub(super) const MANY: usize = 250;

const PATIENCE: Duration = Duration::from_secs(30);

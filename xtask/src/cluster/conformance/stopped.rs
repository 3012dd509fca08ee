//! The agents stopped for the time of a run: what passes then is no merit of the mesh.

use anyhow::{Context as _, Result};
use cluster::{Cluster, Kubectl};

use super::Results;
use crate::{cluster::load, timing::Timing};

/// Does `work` while no node has an agent; then they are there again, whatever became of it.
pub(super) fn without_agents(
    timing: &mut Timing,
    cluster: &Cluster,
    work: impl FnOnce() -> Result<Results>,
) -> Result<Results> {
    let kubectl = cluster.kubectl()?;
    let results = timing
        .step("agents stop", || stop(&kubectl))
        .and_then(|()| timing.step("suite, without agents", work));
    timing.step("agents start", || start(&kubectl))?;
    results
}

/// Lets the agents want a node that there is not, and waits until the last has gone.
fn stop(kubectl: &Kubectl) -> Result<()> {
    select(kubectl, "\"nowhere\"")?;
    kubectl
        .run(&[
            "wait",
            load::IN_SYSTEM,
            "--for=delete",
            "pod",
            "--selector=app.kubernetes.io/name=weft-agent",
            "--timeout=120s",
        ])
        .map(drop)
}

fn start(kubectl: &Kubectl) -> Result<()> {
    select(kubectl, "null")?;
    load::is_ready(kubectl, load::AGENTS)
}

/// Gives the label of nodes that agents want, beside what they want anyway, a value or none.
fn select(kubectl: &Kubectl, value: &str) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"weft.dev/agents":{value}}}}}}}}}}}"#);
    kubectl
        .run(&[
            "patch",
            load::AGENTS,
            load::IN_SYSTEM,
            "--type=strategic",
            "--patch",
            &patch,
        ])
        .map(drop)
        .context("cannot say where agents run")
}

/// The tests that pass with no mesh at all: answers of Kubernetes' own services are what they want.
pub(super) const NEED_NO_MESH: [&str; 1] = ["MeshBasic"];

//! `cleanup`: uninstall, with no agent running.

use serde::Serialize;

use super::{Context, DebugError, Outcome};
use crate::{
    cni::{Installation, SETTLE, Uninstalled},
    config::CniPaths,
    kernel::{
        self,
        inspect::{self, InspectError, Namespaces, Pins, Removed},
    },
};

/// What was taken out of the kernel and from the container runtime. The names of its fields are a stable interface.
#[derive(Serialize)]
struct CleanedUp {
    node: String,
    /// The UIDs of the pods whose rules and routes were removed.
    pods: Vec<String>,
    removed: Vec<Removed>,
    cni: Uninstalled,
}

pub(super) fn run(context: &mut Context, force: bool, paths: CniPaths) -> Result<Outcome, DebugError> {
    context.live_only("cleanup")?;
    let node = context.node()?;
    let agent = context.agent()?;
    if !force && agent.lives()? {
        return Err(DebugError::AgentLives {
            socket: agent.socket().to_owned(),
        });
    }
    // The plugin first of all: no pod's start is to wait for an agent that will not come.
    let cni = Installation::new(paths.cni_bin_dir, paths.cni_conf_dir, paths.cni_run_dir).remove(SETTLE)?;
    // Namespaces before pins: with the pins gone nobody would know which they are.
    let pods = match context.pins() {
        Ok(pins) => leave_namespaces(&pins)?,
        // Pins of another version are removed all the same.
        Err(DebugError::Kernel(InspectError::NoPins { .. })) => Vec::new(),
        Err(error) => return Err(error),
    };
    let removed = inspect::uninstall(context.bpffs(), &node)?;
    let sentence = format!(
        "Removed {} pins of node {node}, rules and routes of {} pods",
        removed.len(),
        pods.len()
    );
    context.output.done(
        &sentence,
        &CleanedUp {
            node,
            pods,
            removed,
            cni,
        },
    )?;
    Ok(Outcome::Done)
}

/// Removes rules and routes from the pods' namespaces; those that are gone took theirs along.
fn leave_namespaces(pins: &Pins) -> Result<Vec<String>, DebugError> {
    let namespaces = Namespaces::scan();
    let mut left = Vec::new();
    for pod in pins.pods()? {
        if let Some(netns) = pod.namespace(&namespaces) {
            kernel::remove(&netns)?;
            left.push(pod.uid);
        }
    }
    Ok(left)
}

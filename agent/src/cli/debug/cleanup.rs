//! `cleanup`: uninstall, with no agent running.

use serde::Serialize;

use super::{Context, DebugError, Outcome};
use crate::kernel::inspect::{self, Removed};

/// What was taken out of the kernel.
#[derive(Serialize)]
struct CleanedUp {
    node: String,
    removed: Vec<Removed>,
}

pub(super) fn run(context: &mut Context, force: bool) -> Result<Outcome, DebugError> {
    context.live_only("cleanup")?;
    let node = context.node()?;
    let agent = context.agent()?;
    if !force && agent.lives()? {
        return Err(DebugError::AgentLives {
            socket: agent.socket().to_owned(),
        });
    }
    let removed = inspect::uninstall(context.bpffs(), &node)?;
    let sentence = format!("Removed {} pins of node {node}", removed.len());
    context.output.done(&sentence, &CleanedUp { node, removed })?;
    Ok(Outcome::Done)
}

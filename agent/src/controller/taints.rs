//! Which nodes lose the taint that keeps pods away until the node's agent is ready.
//!
//! It is never put back. Without its agent a node's new pods wait in the CNI plugin, and its running pods are open or
//! closed as their namespaces say: a taint would only hide that an agent is missing, so that is told instead.

use std::{collections::BTreeSet, sync::Arc};

use crate::cluster::Agents;

/// The nodes that bear the taint although their agent is ready.
pub(super) fn to_clear(agents: &Agents) -> BTreeSet<Arc<str>> {
    let is_ready = |node: &&Arc<str>| agents.ready.get(*node).is_some_and(|ready| *ready);
    agents.tainted.iter().filter(is_ready).cloned().collect()
}

/// The nodes without an agent that is ready.
pub(super) fn without_agent(agents: &Agents) -> BTreeSet<Arc<str>> {
    let is_ready = |node: &&Arc<str>| agents.ready.get(*node).is_some_and(|ready| *ready);
    agents.nodes.iter().filter(|node| !is_ready(node)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_nodes_with_a_ready_agent_lose_the_taint() {
        let agents = Agents {
            ready: BTreeMap::from([
                ("ready".into(), true),
                ("starting".into(), false),
                ("clean".into(), true),
            ]),
            nodes: ["ready", "starting", "clean", "empty"].map(Arc::from).into(),
            tainted: ["ready", "starting", "empty"].map(Arc::from).into(),
            fresh: true,
        };
        assert_eq!(to_clear(&agents), ["ready"].map(Arc::from).into());
        assert_eq!(without_agent(&agents), ["starting", "empty"].map(Arc::from).into());
    }
}

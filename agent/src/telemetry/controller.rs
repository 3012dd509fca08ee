//! What a controller counts.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The metric families of a controller.
#[derive(Clone, Debug, Default)]
pub struct ControllerMetrics {
    leads: Gauge,
    untainted: Counter,
    without_agent: Gauge,
    rotation_waits: Gauge,
    statuses: Counter,
    refused_policies: Gauge,
}

// === impl ControllerMetrics ===

impl ControllerMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            leads,
            untainted,
            without_agent,
            rotation_waits,
            statuses,
            refused_policies,
        } = metrics.clone();
        registry.register("weft_controller_leads", "Whether this controller leads", leads);
        registry.register(
            "weft_controller_nodes_untainted",
            "Nodes that were made to take pods when their agent was ready",
            untainted,
        );
        registry.register(
            "weft_controller_nodes_without_agent",
            "Nodes without an agent that is ready",
            without_agent,
        );
        registry.register(
            "weft_controller_rotation_waits_for",
            "Agents that have not taken the new root of the CA",
            rotation_waits,
        );
        registry.register(
            "weft_controller_statuses_written",
            "Policies, routes and MeshConfigs into which it was written what became of them",
            statuses,
        );
        registry.register(
            "weft_controller_policies_refused",
            "Policies and MeshConfigs that are not accepted",
            refused_policies,
        );
        metrics
    }

    /// Tells whether this one leads.
    pub fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    /// Counts a node that takes pods from here on.
    pub fn untainted(&self) {
        self.untainted.inc();
    }

    /// Tells how many nodes have no agent.
    pub fn without_agent(&self, nodes: usize) {
        self.without_agent.set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    /// Tells how many agents a rotation waits for.
    pub fn rotation_waits(&self, agents: usize) {
        self.rotation_waits.set(i64::try_from(agents).unwrap_or(i64::MAX));
    }

    /// Counts a status that was written.
    pub fn status_written(&self) {
        self.statuses.inc();
    }

    /// How many statuses were written.
    pub fn statuses_written(&self) -> u64 {
        self.statuses.get()
    }

    /// Tells how many policies and MeshConfigs are not accepted.
    pub fn refused_policies(&self, policies: usize) {
        self.refused_policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
    }
}

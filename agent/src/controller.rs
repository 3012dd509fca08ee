//! `weft controller`: what only one may do in a cluster. Of several, one leads by a [`Lease`](crate::cluster::Lease).
//!
//! ```text
//! agents' pods, nodes ──▶ taints      (a node whose agent is ready loses weft.dev/agent-not-ready)
//! agents' pods, board ──▶ rotation    (a new root signs when every agent believes it)
//! policies, Services  ──▶ conditions  (status.ancestors of each policy, status.conditions of the MeshConfig)
//! ```
//!
//! The followers are set up before the election and serve whoever leads next; only what writes waits for it. Each duty
//! compares what is with what should be and writes the difference, so that a new leader has nothing to take over.

mod duties;
mod election;
mod rotation;
mod taints;

use std::time::Duration;

use tokio::time::sleep;

pub use duties::Duties;
pub use election::Election;

use crate::telemetry::{ControllerMetrics, with_causes};

/// A controller that stands for election.
#[derive(Debug)]
pub struct Controller {
    election: Election,
    duties: Duties,
    metrics: ControllerMetrics,
}

// === impl Controller ===

impl Controller {
    /// Prepares it.
    pub fn new(election: Election, duties: Duties, metrics: ControllerMetrics) -> Self {
        Self {
            election,
            duties,
            metrics,
        }
    }

    /// Stands for election, and does what is to be done while it leads, until it is dropped.
    pub async fn run(&mut self) {
        loop {
            self.election.win().await;
            tracing::info!("This controller leads");
            self.metrics.leads(true);
            tokio::select! {
                () = self.duties.run() => {}
                () = self.election.hold() => {}
            }
            self.metrics.leads(false);
            tracing::warn!("This controller leads no longer");
        }
    }

    /// Lets another one lead at once.
    pub async fn resign(&mut self) {
        if let Err(error) = self.election.resign().await {
            tracing::warn!(error = with_causes(&error), "The Lease is left to run out");
        }
    }
}

/// How long after what failed it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

async fn pause() {
    sleep(AGAIN).await;
}

#[cfg(test)]
mod tests;

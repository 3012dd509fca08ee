//! Connections that the kernel programs refused, told to whoever follows refusals.

use std::sync::Arc;

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use crate::{
    kernel::{Dropped, PodStatus, Status},
    model::Mesh,
    net::Cookie,
    telemetry::{Refusal, Telemetry},
};

/// Names the pods of what the kernel programs tell.
pub(super) struct Drops {
    pub(super) mesh: watch::Receiver<Arc<Mesh>>,
    pub(super) kernel: watch::Receiver<Arc<Status>>,
    pub(super) telemetry: Telemetry,
}

// === impl Drops ===

impl Drops {
    /// Passes refusals on for as long as the kernel room lives; where it falls behind, the oldest are lost.
    pub(super) async fn forward(self, mut dropped: Receiver<Dropped>) {
        loop {
            match dropped.recv().await {
                Ok(dropped) => self.telemetry.refused(self.refusal(&dropped)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn refusal(&self, dropped: &Dropped) -> Refusal {
        let peers = [dropped.source, dropped.destination];
        Refusal::by_kernel(dropped.age(), dropped.reason.label(), self.pod(dropped.netns), peers)
    }

    /// The pod's name, or its UID when it has just left the mesh.
    fn pod(&self, cookie: Cookie) -> Option<String> {
        let status = self.kernel.borrow().clone();
        let (uid, _) = status
            .pods
            .iter()
            .find(|(_, status)| matches!(status, PodStatus::Captured { netns, .. } if *netns == cookie))?;
        let mesh = self.mesh.borrow();
        let name = mesh.pods.get(uid).map(|pod| pod.name.to_string());
        Some(name.unwrap_or_else(|| uid.to_string()))
    }
}

//! What the agent answers to its operator.

use std::sync::Arc;

use tokio::sync::watch;

use super::{certificates::Certificates, manifests::Manifests};
use crate::{
    admin::{Readiness, Request},
    kernel::{PodStatus, Status},
    model::{PodUid, PodView},
    proxy::Proxy,
    telemetry::Telemetry,
};

/// Where the answers come from.
pub(super) struct Answers {
    pub(super) manifests: Manifests,
    pub(super) proxy: Proxy,
    pub(super) telemetry: Telemetry,
    pub(super) kernel: watch::Receiver<Arc<Status>>,
    pub(super) certificates: Certificates,
    pub(super) stage: Stage,
}

/// How far the agent's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It takes new connections.
    Serving,
    /// A signal has told it to end.
    Draining,
}

// === impl Answers ===

impl Answers {
    /// Answers one request. Whoever asked may have gone meanwhile: then nobody wants the answer.
    pub(super) async fn answer(&self, request: Request) {
        match request {
            Request::Readiness(answer) => drop(answer.send(self.readiness())),
            Request::Connections(answer) => drop(answer.send(self.proxy.connections().await)),
            Request::Kill { id, answer } => drop(answer.send(self.proxy.kill(id).await)),
            Request::Pods(answer) => drop(answer.send(self.pods())),
            Request::Services(answer) => drop(answer.send(self.manifests.mesh.borrow().service_views())),
            Request::Endpoints(answer) => drop(answer.send(self.manifests.mesh.borrow().endpoint_views())),
            Request::Certificates(answer) => {
                let mesh = Arc::clone(&self.manifests.mesh.borrow());
                drop(answer.send(self.certificates.views(&mesh)));
            }
            Request::Problems(answer) => {
                let problems = self.manifests.problems();
                let values = problems.iter().map(serde_json::to_value).filter_map(Result::ok);
                drop(answer.send(values.collect()));
            }
            Request::Refusals(answer) => drop(answer.send(self.telemetry.refusals())),
        }
    }

    /// The pods of the mesh, with what the kernel room says of their capture.
    fn pods(&self) -> Vec<PodView> {
        let status = Arc::clone(&self.kernel.borrow());
        let mut pods = self.manifests.mesh.borrow().pod_views();
        for pod in &mut pods {
            match status.pods.get(&PodUid::new(pod.uid.as_str())) {
                Some(PodStatus::Waiting { reason }) => pod.waiting = Some(reason.to_string()),
                Some(PodStatus::Captured { uncaptured_devices, .. }) => {
                    pod.uncaptured_devices = uncaptured_devices.to_vec();
                }
                None => {}
            }
        }
        pods
    }

    fn readiness(&self) -> Readiness {
        let captures = (self.kernel.borrow().generation == 0).then_some("no mesh is applied to the kernel yet");
        let drains = (self.stage == Stage::Draining).then_some("the agent drains");
        let reasons: Vec<String> = captures.into_iter().chain(drains).map(str::to_owned).collect();
        if reasons.is_empty() {
            Readiness::Ready
        } else {
            Readiness::Waiting(reasons)
        }
    }
}

//! Whether a pod may start: the agent's word, as soon as its mesh and its kernel room can tell.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{call::PodRef, held::Held, wire::Reply};
use crate::{
    kernel::{ContainerId, PodStatus, Sandbox, SandboxNews, Status},
    model::{Mesh, ObjectName, OnAgentFailure, Pod, PodUid},
    net::NetNs,
    telemetry::{CniMetrics, CniOutcome, CniRefusal},
};

/// What is known, and whom to tell.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The mesh.
    pub mesh: watch::Receiver<Arc<Mesh>>,
    /// How far the kernel is as the mesh says.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where the kernel room hears of sandboxes.
    pub sandboxes: mpsc::Sender<SandboxNews>,
    /// What is counted.
    pub metrics: CniMetrics,
    /// What is noted.
    pub held: Held,
}

/// A pod that is about to start.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) container: ContainerId,
    pub(super) pod: PodRef,
    pub(super) netns: NetNs,
    pub(super) ips: Vec<IpAddr>,
}

/// The agent ends: nobody can tell any longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

// === impl Inputs ===

impl Inputs {
    /// Holds a pod until it is captured, or known to be none of the mesh's, or the time is over.
    pub(super) async fn add(&mut self, candidate: Candidate, deadline: Instant) -> Result<Reply, Ended> {
        let begun = Instant::now();
        let reply = match timeout_at(deadline, self.hold(&candidate)).await {
            Ok(reply) => reply?,
            Err(_elapsed) => self.give_up(&candidate.pod),
        };
        self.metrics.added(match &reply {
            Reply::Captured => CniOutcome::Captured,
            Reply::NotEnrolled | Reply::Done => CniOutcome::NotEnrolled,
            Reply::LetStart { .. } => CniOutcome::LetStart,
            Reply::Wait { .. } => CniOutcome::Refused,
        });
        if reply == Reply::Captured {
            self.metrics.held(begun.elapsed());
            let mesh = Arc::clone(&self.mesh.borrow());
            if let Some(pod) = candidate.pod.find(&mesh) {
                self.held.note(pod.uid.clone(), begun.elapsed(), &mesh);
            }
        }
        Ok(reply)
    }

    /// Whether a pod is captured in this namespace, where it should be.
    pub(super) fn check(&self, pod: &PodRef, netns: &NetNs) -> Reply {
        let mesh = Arc::clone(&self.mesh.borrow());
        match pod.find(&mesh) {
            Some(pod) if !pod.enrolled() => Reply::NotEnrolled,
            Some(pod) if is_captured(&self.status.borrow(), pod, netns) => Reply::Captured,
            Some(pod) => Reply::Wait {
                reason: self.waiting(&pod.uid),
            },
            None => Reply::NotEnrolled,
        }
    }

    /// Lets go of a sandbox, and returns when nothing of it is held.
    pub(super) async fn del(&self, container: ContainerId, netns: Option<NetNs>) -> Result<Reply, Ended> {
        let (done, told) = oneshot::channel();
        self.tell(SandboxNews::Down { container, netns, done }).await?;
        told.await.map_err(|_ended| Ended)?;
        Ok(Reply::Done)
    }

    /// Lets go of all sandboxes but these.
    pub(super) async fn collect(&self, left: BTreeSet<ContainerId>) -> Result<Reply, Ended> {
        self.tell(SandboxNews::Only(left)).await?;
        Ok(Reply::Done)
    }

    async fn hold(&mut self, candidate: &Candidate) -> Result<Reply, Ended> {
        // The API server has put the pod on this node before the kubelet started it: its object is under way.
        let pod = self.known(&candidate.pod).await?;
        if !pod.enrolled() {
            return Ok(Reply::NotEnrolled);
        }
        let sandbox = Sandbox {
            uid: pod.uid.clone(),
            container: candidate.container.clone(),
            netns: candidate.netns.clone(),
            ips: candidate.ips.clone(),
        };
        self.tell(SandboxNews::Up(sandbox)).await?;
        let Self { mesh, status, .. } = self;
        tokio::select! {
            captured = status.wait_for(|status| is_captured(status, &pod, &candidate.netns)) => {
                captured.map_err(|_ended| Ended)?;
                Ok(Reply::Captured)
            }
            left = mesh.wait_for(|mesh| mesh.pods.get(&pod.uid).is_none_or(|pod| !pod.enrolled())) => {
                left.map_err(|_ended| Ended)?;
                Ok(Reply::NotEnrolled)
            }
        }
    }

    async fn known(&mut self, pod: &PodRef) -> Result<Arc<Pod>, Ended> {
        let known = self.mesh.wait_for(|mesh| pod.find(mesh).is_some()).await;
        let mesh = known.map(|mesh| Arc::clone(&mesh)).map_err(|_ended| Ended)?;
        pod.find(&mesh).map(Arc::clone).ok_or(Ended)
    }

    /// The time is over: the pod starts outside the mesh, or not yet, as its namespace says.
    fn give_up(&self, pod: &PodRef) -> Reply {
        let mesh = Arc::clone(&self.mesh.borrow());
        let (failure, refusal, reason) = match pod.find(&mesh) {
            Some(pod) => (pod.on_agent_failure, CniRefusal::NotCaptured, self.waiting(&pod.uid)),
            None => match mesh.enrolled_namespaces().get(&*pod.namespace) {
                Some(failure) => (*failure, CniRefusal::PodUnknown, UNKNOWN.to_owned()),
                None => return Reply::NotEnrolled,
            },
        };
        self.metrics.refused(refusal);
        tracing::warn!(
            namespace = pod.namespace,
            pod = pod.name,
            reason,
            failure = failure.label(),
            "Pod could not be captured before its start"
        );
        match failure {
            OnAgentFailure::Open => Reply::LetStart { reason },
            OnAgentFailure::Closed => Reply::Wait { reason },
        }
    }

    /// Why a pod is not captured.
    fn waiting(&self, uid: &PodUid) -> String {
        match self.status.borrow().pods.get(uid) {
            Some(PodStatus::Waiting { reason }) => reason.to_string(),
            Some(PodStatus::Captured { .. }) => "it is captured in another network namespace".to_owned(),
            None => "its capture is under way".to_owned(),
        }
    }

    async fn tell(&self, news: SandboxNews) -> Result<(), Ended> {
        self.sandboxes.send(news).await.map_err(|_ended| Ended)
    }
}

// === impl PodRef ===

impl PodRef {
    /// The pod in the mesh: another one of the same name is another pod.
    fn find<'a>(&self, mesh: &'a Mesh) -> Option<&'a Arc<Pod>> {
        match &self.uid {
            Some(uid) => mesh.pods.get(&PodUid::new(uid.as_str())),
            None => {
                let name = ObjectName::new(self.namespace.as_str(), self.name.as_str());
                mesh.pods.values().find(|pod| pod.name == name && !pod.terminating)
            }
        }
    }
}

fn is_captured(status: &Status, pod: &Pod, netns: &NetNs) -> bool {
    match status.pods.get(&pod.uid) {
        Some(PodStatus::Captured { netns: cookie, .. }) => netns.cookie().is_ok_and(|own| own == *cookie),
        Some(PodStatus::Waiting { .. }) | None => false,
    }
}

const UNKNOWN: &str = "the API server has not told the agent of the pod";

//! What tests of a CA share: agents' keepers in this process, and pods as the roster has them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    model::{Enrolment, Mesh, Pod, RosterPod, sample::mk_mesh},
    telemetry::CertificateMetrics,
    tls::{
        Identities,
        issue::{IssueStatus, Keeper, Remote},
    },
};

/// An agent, as far as a CA sees it.
pub(super) struct Agent {
    pub(super) identities: Identities,
    pub(super) status: watch::Receiver<IssueStatus>,
    _mesh: watch::Sender<Arc<Mesh>>,
}

// === impl Agent ===

impl Agent {
    /// Starts one with these pods; it runs until the task is aborted.
    pub(super) fn start(remote: Remote, pods: &[Pod]) -> (Self, JoinHandle<()>) {
        let (mesh, followed) = watch::channel(Arc::new(mk_mesh(pods.to_vec(), Vec::new())));
        let keeper = Keeper::new(remote, followed, CertificateMetrics::default());
        let agent = Self {
            identities: keeper.identities(),
            status: keeper.status(),
            _mesh: mesh,
        };
        (agent, tokio::spawn(keeper.run()))
    }
}

/// An enrolled pod on a node.
pub(super) fn mk_member(pod: &Pod, node: &str) -> RosterPod {
    RosterPod {
        name: pod.name.clone(),
        service_account: Arc::clone(&pod.service_account),
        node: Some(node.into()),
        ips: pod.ips.clone(),
        enrolment: Enrolment::Enrolled,
    }
}

/// Waits until it is so, and panics when that takes longer than `patience`.
pub(super) async fn until(patience: Duration, what: &str, mut such: impl FnMut() -> bool) {
    let waited = timeout(patience, async {
        while !such() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_elapsed| panic!("waited in vain for {what}"));
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

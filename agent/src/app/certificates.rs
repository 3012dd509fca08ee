//! The pods' certificates: who signs them, and how they stand.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config::{AgentConfig, CaClientConfig},
    model::{CertificateState, CertificateView, Mesh, Pod},
    telemetry::{CertificateMetrics, seconds_between},
    tls::{
        Credentials, Identities,
        issue::{Ca, Credential, Embedded, IssueStatus, Keeper, Remote},
    },
};

/// The certificates of this node's pods.
pub(super) struct Certificates {
    pub(super) identities: Identities,
    status: watch::Receiver<IssueStatus>,
    _keeper: AbortOnDropHandle<()>,
}

// === impl Certificates ===

impl Certificates {
    /// Starts getting them.
    pub(super) fn start(
        config: &AgentConfig,
        mesh: watch::Receiver<Arc<Mesh>>,
        metrics: CertificateMetrics,
    ) -> anyhow::Result<Self> {
        if let (Some(address), Some(credential)) = (&config.ca.ca, credential(&config.ca)) {
            let remote = Remote::new(address, credential, config.node.as_str());
            return Ok(Self::keep(remote, mesh, metrics));
        }
        let embedded = Embedded::create(mesh.clone(), &config.node, config.ca.certificate_life);
        Ok(Self::keep(embedded.context("cannot make a CA")?, mesh, metrics))
    }

    fn keep(ca: impl Ca, mesh: watch::Receiver<Arc<Mesh>>, metrics: CertificateMetrics) -> Self {
        let keeper = Keeper::new(ca, mesh, metrics);
        Self {
            identities: keeper.identities(),
            status: keeper.status(),
            _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run())),
        }
    }

    /// How they stand, one for each enrolled pod, in the order of their names.
    pub(super) fn views(&self, mesh: &Mesh) -> Vec<CertificateView> {
        let held = self.identities.all();
        let status = self.status.borrow().clone();
        let enrolled = mesh.pods.values().filter(|pod| pod.enrolled());
        let mut views: Vec<CertificateView> = enrolled
            .map(|pod| {
                let credentials = held.iter().find(|credentials| credentials.uid() == &pod.uid);
                view(pod, credentials.map(|credentials| &**credentials), &status)
            })
            .collect();
        views.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        views
    }
}

/// By what the agent and its CA are to know each other.
fn credential(config: &CaClientConfig) -> Option<Credential> {
    let join = config.ca_token.clone().map(Credential::Join);
    let pod = || {
        Some(Credential::Pod {
            bundle: config.ca_bundle.clone()?,
            token: config.ca_service_account_token.clone(),
        })
    };
    join.or_else(pod)
}

fn view(pod: &Pod, credentials: Option<&Credentials>, status: &IssueStatus) -> CertificateView {
    let now = SystemTime::now();
    let end = credentials.map(Credentials::not_after);
    CertificateView {
        uid: pod.uid.to_string(),
        namespace: pod.name.namespace.to_string(),
        name: pod.name.name.to_string(),
        state: match credentials {
            Some(credentials) if credentials.valid_at(now) => CertificateState::Valid,
            Some(_) => CertificateState::Expired,
            None => CertificateState::Waiting,
        },
        identity: credentials.map(|credentials| credentials.identity().to_string()),
        serial: credentials.map(|credentials| credentials.serial().to_string()),
        ips: credentials
            .map(|credentials| credentials.ips().to_vec())
            .unwrap_or_default(),
        not_after: end.map(|end| humantime::format_rfc3339_seconds(end).to_string()),
        seconds_left: end.map(|end| seconds_between(now, end)),
        root: credentials.map(|credentials| credentials.authority().to_string()),
        reason: status.refusals.get(&pod.uid).map(ToString::to_string),
        ca_attended: status.attended,
        ca_skew_seconds: status.skew,
    }
}

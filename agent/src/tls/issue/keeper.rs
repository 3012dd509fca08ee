//! The task that gets certificates and keeps them: the one writer of [`Identities`].

use std::{
    collections::BTreeMap,
    future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use agent_common::MeshId;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Answer, Ask, Attendance, Bundle, Ca, Outcome, Word,
    plan::{Asked, Plan, backoff},
};
use crate::{
    model::{Mesh, PodUid},
    telemetry::{CertificateMetrics, CertificateOutcome, with_causes},
    tls::{
        Identities,
        credentials::Issued,
        key::{KeyError, PodKey},
        trust::Trust,
    },
};

/// Gets certificates for this node's enrolled pods and renews them.
#[derive(Debug)]
pub struct Keeper<C> {
    ca: C,
    mesh: watch::Receiver<Arc<Mesh>>,
    metrics: CertificateMetrics,
    identities: Identities,
    status: watch::Sender<IssueStatus>,
    plan: Plan,
}

/// How the issuing goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IssueStatus {
    /// Whether a stream to the CA is open.
    pub attended: bool,
    /// How far the CA's clock is ahead of ours, in seconds.
    pub skew: f64,
    /// The pods whose last request was refused, and why.
    pub refusals: BTreeMap<PodUid, Arc<str>>,
}

/// Why an answered request has brought no certificate.
#[derive(Debug, thiserror::Error)]
enum Fruitless {
    #[error("{0}")]
    Refused(String),
    #[error("the CA has sent a certificate of another pod or service account")]
    OtherPod,
    #[error("by this node's clock the certificate is not valid at this moment")]
    Clock,
    #[error(transparent)]
    Unusable(#[from] crate::tls::credentials::Unusable),
}

// === impl Keeper ===

impl<C: Ca> Keeper<C> {
    /// Prepares the task; [`Keeper::run`] is it.
    pub fn new(ca: C, mesh: watch::Receiver<Arc<Mesh>>, metrics: CertificateMetrics) -> Self {
        Self {
            ca,
            mesh,
            metrics,
            identities: Identities::none(),
            status: watch::Sender::default(),
            plan: Plan::default(),
        }
    }

    /// What it writes.
    pub fn identities(&self) -> Identities {
        self.identities.clone()
    }

    /// How it goes.
    pub fn status(&self) -> watch::Receiver<IssueStatus> {
        self.status.subscribe()
    }

    /// Attends the CA for ever, coming back with ever longer pauses while it is away.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            match timeout(CONNECT_TIME, self.ca.attend()).await {
                Ok(Ok(attendance)) => {
                    if self.serve(attendance).await {
                        failures = 0;
                    }
                    tracing::warn!("The stream to the CA has ended");
                }
                Ok(Err(error)) => tell_away(failures, &with_causes(&error)),
                Err(_elapsed) => tell_away(failures, "it does not answer"),
            }
            self.plan.lose();
            self.status.send_modify(|status| status.attended = false);
            self.metrics.attended(false);
            sleep(backoff(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Lives through one stream; says whether the CA has said anything.
    async fn serve(&mut self, attendance: Attendance) -> bool {
        let Attendance { say, mut answers } = attendance;
        let mut heard = false;
        loop {
            self.follow();
            // Before the first bundle nothing that is issued could be used.
            if heard && self.ask(&say).await.is_none() {
                return heard;
            }
            let next = self.plan.next().filter(|_| heard);
            tokio::select! {
                changed = self.mesh.changed() => if changed.is_err() {
                    return heard;
                },
                answer = answers.recv() => match answer {
                    Some(answer) => {
                        heard = true;
                        if self.take(answer, &say).await.is_none() {
                            return heard;
                        }
                    }
                    None => return heard,
                },
                () = when(next) => {}
            }
        }
    }

    fn follow(&mut self) {
        let mesh = Arc::clone(&self.mesh.borrow_and_update());
        self.plan.follow(&mesh, Instant::now());
        // A pod that leaves the mesh still has connections which it began inside.
        self.identities
            .retain(|uid| self.plan.has(uid) || mesh.pods.contains_key(uid));
    }

    /// Asks for what is due; none when the stream is gone.
    async fn ask(&mut self, say: &mpsc::Sender<Word>) -> Option<()> {
        loop {
            let now = Instant::now();
            let due = self.plan.due(now, BATCH);
            if due.is_empty() {
                return Some(());
            }
            let mut asks = Vec::with_capacity(due.len());
            for (uid, subject) in due {
                match request() {
                    Ok((key, request)) => {
                        asks.push(Ask {
                            uid: uid.clone(),
                            pod: subject.pod.clone(),
                            service_account: Arc::clone(&subject.service_account),
                            ips: subject.ips.iter().copied().collect(),
                            request,
                        });
                        self.plan.ask(&uid, key, subject, now);
                    }
                    Err(error) => self.plan.refuse(&uid, &subject, &with_causes(&error)),
                }
            }
            say.send(Word::Asks(asks)).await.ok()?;
        }
    }

    /// Takes what the CA says; none when the stream is gone.
    async fn take(&mut self, answer: Answer, say: &mpsc::Sender<Word>) -> Option<()> {
        let Answer { time, bundle, outcomes } = answer;
        self.compare_clocks(time);
        self.metrics.attended(true);
        if let Some(bundle) = bundle {
            let version = bundle.version;
            if self.believe(bundle) {
                say.send(Word::Known(version)).await.ok()?;
            }
        }
        for outcome in outcomes {
            self.settle(outcome);
        }
        self.status.send_modify(|status| {
            status.attended = true;
            status.refusals = self.plan.refusals();
        });
        Some(())
    }

    fn believe(&mut self, bundle: Bundle) -> bool {
        let Bundle {
            version,
            trust_domain,
            mesh,
            roots,
            intermediates,
            signer,
            denied,
        } = bundle;
        let theirs = Arc::clone(&trust_domain);
        match Trust::new(trust_domain, &roots, &intermediates, denied) {
            Ok(trust) => {
                tracing::info!(version, roots = roots.len(), %signer, "Bundle of the CA taken");
                let wanted = &self.mesh.borrow().config.trust_domain;
                if **wanted != *theirs {
                    tracing::warn!(wanted, %theirs, "The CA is of another trust domain than the mesh: policies do not mean its identities");
                }
                self.identities.set_trust(trust);
                let [a, b, c, d, ..] = mesh;
                self.identities.set_mesh_id(MeshId::new([a, b, c, d]));
                self.plan.signed_by(signer, Instant::now());
                true
            }
            Err(error) => {
                tracing::error!(error = with_causes(&error), "The bundle of the CA cannot be used");
                false
            }
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        let Outcome { uid, issued } = outcome;
        // The pod may be gone meanwhile.
        let Some(asked) = self.plan.answered(&uid) else { return };
        match self.hold(&uid, &asked, issued) {
            Ok(()) => self.metrics.count(CertificateOutcome::Issued),
            Err(error) => {
                let reason = with_causes(&error);
                tracing::warn!(pod = %asked.subject.pod, reason, "No certificate");
                self.metrics.count(CertificateOutcome::Refused);
                self.plan.refuse(&uid, &asked.subject, &reason);
            }
        }
    }

    fn hold(&mut self, uid: &PodUid, asked: &Asked, issued: Result<Vec<Vec<u8>>, String>) -> Result<(), Fruitless> {
        let Asked { key, subject, .. } = asked;
        let issued = Issued::new(key, issued.map_err(Fruitless::Refused)?)?;
        let certificate = Arc::clone(&issued.certificate);
        let identity = &certificate.identity;
        if &certificate.uid != uid
            || identity.namespace != subject.pod.namespace
            || identity.service_account != subject.service_account
        {
            return Err(Fruitless::OtherPod);
        }
        self.identities.put(issued)?;
        if !certificate.valid_at(SystemTime::now()) {
            return Err(Fruitless::Clock);
        }
        tracing::debug!(pod = %subject.pod, serial = %certificate.serial, "Certificate held");
        self.plan.hold(uid, subject, &certificate);
        Ok(())
    }

    fn compare_clocks(&self, theirs: SystemTime) {
        let ours = SystemTime::now();
        let skew = match theirs.duration_since(ours) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        };
        let before = self.status.borrow().skew;
        self.metrics.skew(skew);
        self.status.send_modify(|status| status.skew = skew);
        match (before.abs() > BEARABLE_SKEW, skew.abs() > BEARABLE_SKEW) {
            (false, true) => tracing::warn!(seconds = skew, "The clocks of the CA and of this node differ"),
            (true, false) => tracing::info!(seconds = skew, "The clocks of the CA and of this node agree again"),
            (false, false) | (true, true) => {}
        }
    }
}

fn request() -> Result<(PodKey, Vec<u8>), KeyError> {
    let key = PodKey::generate()?;
    let request = key.request()?;
    Ok((key, request))
}

async fn when(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

fn tell_away(failures: u32, reason: &str) {
    // The first few are worth a line each, the rest would only repeat them.
    if failures < 3 || failures.is_multiple_of(10) {
        tracing::warn!(failures = failures + 1, reason, "The CA is away");
    }
}

/// How long the opening of a stream may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How many certificates are asked for in one breath.
const BATCH: usize = 64;
/// The clocks may differ by so many seconds before somebody is told; certificates reach five minutes into the past.
const BEARABLE_SKEW: f64 = 60.0;

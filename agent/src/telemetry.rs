//! What is told about each connection: one [`Report`] at its end, from which log line and metrics both come.
//!
//! ```text
//! proxy ──Report──▶ Telemetry ──▶ ConnectionMetrics ──▶ /metrics
//!                            └──▶ AccessLog ──▶ one line of JSON or text
//! ```

mod access_log;
mod again;
mod ca;
mod causes;
mod certificates;
mod cni;
mod controller;
mod denied;
mod dns;
mod exposition;
mod live;
mod metrics;
mod record;
mod refusal;
mod report;
mod requests;
mod timestamp;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::mpsc;

pub use access_log::{AccessLog, AccessLogFormat};
pub use again::{MirrorOutcome, RetryCause};
pub use ca::{AuthorityRole, CaMetrics, CertificateRefusal, ReviewOutcome};
pub use causes::with_causes;
pub use certificates::{CertificateMetrics, CertificateOutcome};
pub use cni::{CniMetrics, CniOutcome, CniRefusal};
pub use controller::ControllerMetrics;
pub use denied::{Denied, Fault};
pub use dns::{DnsMetrics, DnsOutcome};
pub use exposition::Exposition;
pub use live::{ConnectionId, LiveConnection, LiveRequest, Phase};
pub use metrics::{ConnectionMetrics, TlsSide};
pub use refusal::{Refusal, Refuser};
pub use report::{Direction, Peer, Proof, Report, RequestReport, Security};
pub use timestamp::{Timestamp, seconds_between};

/// Takes the reports of all connections; cheap to clone, shared by all threads.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Sinks>);

#[derive(Debug)]
struct Sinks {
    metrics: ConnectionMetrics,
    access_log: AccessLog,
    followers: Mutex<Vec<mpsc::Sender<Refusal>>>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Joins the metrics and the log.
    pub fn new(metrics: ConnectionMetrics, access_log: AccessLog) -> Self {
        Self(Arc::new(Sinks {
            metrics,
            access_log,
            followers: Mutex::default(),
        }))
    }

    /// Counts a connection as opened, when its upstream has answered.
    pub fn opened(&self, direction: Direction) {
        self.0.metrics.opened(direction);
    }

    /// Counts a finished TLS handshake of two agents, on the client's or the server's side.
    pub fn shook_hands(&self, side: TlsSide, resumed: bool) {
        self.0.metrics.shook_hands(side, resumed);
    }

    /// Counts a response of an upstream before its last one, which its client does not get.
    pub fn dropped_informational(&self) {
        self.0.metrics.dropped_informational();
    }

    /// Counts that a request is sent again.
    pub fn retried(&self, cause: RetryCause) {
        self.0.metrics.again().retried(cause);
    }

    /// Counts what became of a copy of a request.
    pub fn mirrored(&self, outcome: MirrorOutcome) {
        self.0.metrics.again().mirrored(outcome);
    }

    /// Counts a connection or a request as ended and writes its line.
    pub fn closed(&self, report: Report) {
        self.0.metrics.closed(&report);
        if report.denied.is_some() {
            self.tell(|| Refusal::of_report(SystemTime::now(), &report));
        }
        self.0.access_log.write(report);
    }

    /// Tells the followers of a connection which the kernel programs refused.
    pub fn refused(&self, refusal: Refusal) {
        self.tell(|| Some(refusal.clone()));
    }

    /// Follows what is refused from here on; a follower that stalls misses some.
    pub fn refusals(&self) -> mpsc::Receiver<Refusal> {
        let (sender, receiver) = mpsc::channel(REFUSALS_AHEAD);
        self.0
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    fn tell(&self, refusal: impl Fn() -> Option<Refusal>) {
        let mut followers = self.0.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.is_closed());
        for follower in &*followers {
            if let Some(refusal) = refusal() {
                // Full or gone: it misses this one.
                let _ = follower.try_send(refusal);
            }
        }
    }
}

/// How far a follower of refusals may fall behind.
const REFUSALS_AHEAD: usize = 1024;

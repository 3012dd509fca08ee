//! What is told about each connection: one [`Report`] at its end, from which log line and metrics both come.
//!
//! ```text
//! proxy ──Report──▶ Telemetry ──▶ ConnectionMetrics ──▶ /metrics
//!                            └──▶ AccessLog ──▶ one line of JSON or text
//! ```

mod access_log;
mod denied;
mod dns;
mod live;
mod metrics;
mod record;
mod refusal;
mod report;
mod timestamp;

use std::sync::Arc;

pub use access_log::{AccessLog, AccessLogFormat, UnknownFormat};
pub use denied::{Denied, Fault};
pub use dns::{DnsMetrics, DnsOutcome};
pub use live::{ConnectionId, LiveConnection, Phase};
pub use metrics::ConnectionMetrics;
pub use refusal::{Refusal, Refuser};
pub use report::{Direction, Peer, Report};
pub use timestamp::Timestamp;

/// Takes the reports of all connections; cheap to clone, shared by all threads.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Sinks>);

#[derive(Debug)]
struct Sinks {
    metrics: ConnectionMetrics,
    access_log: AccessLog,
}

// === impl Telemetry ===

impl Telemetry {
    /// Joins the metrics and the log.
    pub fn new(metrics: ConnectionMetrics, access_log: AccessLog) -> Self {
        Self(Arc::new(Sinks { metrics, access_log }))
    }

    /// Counts a connection as opened, when its upstream has answered.
    pub fn opened(&self, direction: Direction) {
        self.0.metrics.opened(direction);
    }

    /// Counts a connection as ended and writes its line.
    pub fn closed(&self, report: Report) {
        self.0.metrics.closed(&report);
        self.0.access_log.write(report);
    }
}

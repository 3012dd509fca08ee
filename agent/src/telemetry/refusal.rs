//! A refused connection, as `weft debug trace drop` prints it while it happens.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{Report, Timestamp};

/// A refused connection. The names of its fields are a stable interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// Who refused it.
    pub by: Refuser,
    /// Why: the label of a [`super::Denied`], or of a counter of the kernel programs.
    pub reason: String,
    /// The pod at whose listener or program it was refused, as `namespace/name`; its UID where only that is known.
    pub pod: Option<String>,
    /// Who wanted to connect.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// Who refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refuser {
    /// The kernel programs.
    Kernel,
    /// The proxy.
    Agent,
}

// === impl Refusal ===

impl Refusal {
    /// A refusal by the kernel programs, `age` ago.
    pub fn by_kernel(
        age: Duration,
        reason: &'static str,
        pod: Option<String>,
        [source, destination]: [SocketAddr; 2],
    ) -> Self {
        Self {
            time: Timestamp(SystemTime::now() - age).to_string(),
            by: Refuser::Kernel,
            reason: reason.to_owned(),
            pod,
            source,
            destination,
        }
    }

    /// What a report that ended at `time` tells, if the connection was refused or cut.
    pub fn of_report(time: SystemTime, report: &Report) -> Option<Self> {
        let denied = report.denied?;
        let pods = [Some(&report.source), report.destination.as_ref()];
        Some(Self {
            time: Timestamp(time).to_string(),
            by: Refuser::Agent,
            reason: denied.label().to_owned(),
            pod: pods
                .into_iter()
                .flatten()
                .find_map(|peer| Some(peer.pod.as_ref()?.to_string())),
            source: report.source.address,
            destination: report.original_destination,
        })
    }
}

// === impl Refuser ===

impl Refuser {
    /// The refuser as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Agent => "agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{
        model::ObjectName,
        telemetry::{Denied, Direction, Peer, Proof},
    };

    #[test]
    fn a_refusal_keeps_its_json_keys() {
        let refusal = Refusal::of_report(UNIX_EPOCH, &mk_report(Some(Denied::NoEndpoint)));
        assert_eq!(
            serde_json::to_value(refusal).unwrap(),
            serde_json::json!({
                "time": "1970-01-01T00:00:00.000Z", "by": "agent", "reason": "no_endpoint", "pod": "shop/web",
                "source": "10.0.0.1:40000", "destination": "10.96.0.1:80",
            })
        );
    }

    #[test]
    fn a_connection_that_was_served_is_no_refusal() {
        assert_eq!(Refusal::of_report(UNIX_EPOCH, &mk_report(None)), None);
    }

    fn mk_report(denied: Option<Denied>) -> Report {
        Report {
            direction: Direction::Outbound,
            source: Peer {
                address: "10.0.0.1:40000".parse().unwrap(),
                pod: Some(ObjectName::new("shop", "web")),
            },
            original_destination: "10.96.0.1:80".parse().unwrap(),
            service: None,
            rule: None,
            destination: None,
            opened: UNIX_EPOCH,
            connect_time: None,
            duration: Duration::ZERO,
            bytes_sent: 0,
            bytes_received: 0,
            denied,
            proof: Proof::default(),
            request: None,
        }
    }
}

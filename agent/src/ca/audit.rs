//! The audit: one line for each certificate that is issued or refused, never with a key or a token.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    time::SystemTime,
};

use serde::Serialize;

use crate::tls::{Grant, Serial, issue::Ask};

/// Where certificates are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audit {
    /// In the process' own log, with the target `weft_audit`.
    #[default]
    Log,
    /// As lines of JSON on standard output.
    Json,
}

/// What became of a request.
pub(super) enum Settled<'a> {
    Issued {
        grant: &'a Grant,
        serial: &'a Serial,
        not_after: SystemTime,
    },
    Refused {
        reason: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    outcome: &'static str,
    node: &'a str,
    namespace: &'a str,
    pod: &'a str,
    uid: String,
    service_account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ips: Option<&'a [IpAddr]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

// === impl Audit ===

impl Audit {
    /// Tells what became of what the agent of a node asked for.
    pub(super) fn tell(self, node: &str, ask: &Ask, settled: &Settled<'_>) {
        match self {
            Self::Log => log(node, ask, settled),
            Self::Json => {
                let line = Line::new(node, ask, settled);
                let line = serde_json::to_string(&line).expect("texts can be written");
                // A reader that has gone must not stop the issuing.
                let _ = writeln!(io::stdout(), "{line}");
            }
        }
    }
}

fn log(node: &str, ask: &Ask, settled: &Settled<'_>) {
    let Ask { uid, pod, .. } = ask;
    match settled {
        Settled::Issued { grant, serial, .. } => {
            let Grant { identity, ips, .. } = grant;
            tracing::info!(target: AUDIT, node, %pod, %uid, %identity, %serial, ?ips, "Certificate issued");
        }
        Settled::Refused { reason } => {
            tracing::warn!(target: AUDIT, node, %pod, %uid, reason, "Certificate refused");
        }
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(node: &'a str, ask: &'a Ask, settled: &'a Settled<'_>) -> Self {
        let refused = Self {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            outcome: "refused",
            node,
            namespace: &ask.pod.namespace,
            pod: &ask.pod.name,
            uid: ask.uid.to_string(),
            service_account: &ask.service_account,
            identity: None,
            serial: None,
            ips: None,
            not_after: None,
            reason: None,
        };
        match settled {
            Settled::Issued {
                grant,
                serial,
                not_after,
            } => Self {
                outcome: "issued",
                identity: Some(grant.identity.to_string()),
                serial: Some(serial.to_string()),
                ips: Some(&grant.ips),
                not_after: Some(humantime::format_rfc3339_seconds(*not_after).to_string()),
                ..refused
            },
            Settled::Refused { reason } => Self {
                reason: Some(reason),
                ..refused
            },
        }
    }
}

/// Whom `--log weft_audit=info` shows.
pub(super) const AUDIT: &str = "weft_audit";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{ObjectName, PodUid};

    #[test]
    fn a_refusal_is_one_line_that_says_who_asked_for_what_and_why_not() {
        let ask = Ask {
            uid: PodUid::new("uid-1"),
            pod: ObjectName::new("shop", "cart-0"),
            service_account: "cart".into(),
            ips: Vec::new(),
            request: vec![1, 2, 3],
        };
        let settled = Settled::Refused {
            reason: "the pod is\nnot on this node".to_owned(),
        };
        let mut line = Line::new("node-1", &ask, &settled);
        line.time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).to_string();
        assert_eq!(
            serde_json::to_string(&line).expect("JSON"),
            r#"{"time":"1970-01-01T00:00:01.000Z","outcome":"refused","node":"node-1","namespace":"shop","pod":"cart-0","uid":"uid-1","service_account":"cart","reason":"the pod is\nnot on this node"}"#
        );
    }
}

//! A [`Report`] as a line of the access log.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Version};
use serde::Serialize;

use super::{Direction, Proof, Report, RequestReport, Security, Timestamp};
use crate::model::{Identity, ObjectName};

/// The line's fields; their names are a stable interface.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    time: Timestamp,
    direction: Direction,
    source: SocketAddr,
    source_pod: Option<String>,
    original_destination: SocketAddr,
    service: Option<String>,
    route: Option<String>,
    destination: Option<SocketAddr>,
    destination_pod: Option<String>,
    connect_ms: Option<f64>,
    duration_ms: f64,
    bytes_sent: u64,
    bytes_received: u64,
    reason: Option<&'static str>,
    fault: Option<&'static str>,
    security: Option<Security>,
    source_identity: Option<String>,
    destination_identity: Option<String>,
    mesh_generation: u64,
    policy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audited: Vec<String>,
    #[serde(flatten)]
    request: Option<RequestRecord>,
}

/// The further fields of a request's line.
#[derive(Debug, Serialize)]
struct RequestRecord {
    method: String,
    path: String,
    authority: Option<String>,
    protocol: &'static str,
    status: Option<u16>,
    request_id: Option<String>,
    trace: Option<String>,
    response_ms: Option<f64>,
    retries: u32,
    detail: Option<&'static str>,
}

// === impl Record ===

impl Record {
    /// The line of a connection which ended at `time`.
    pub(super) fn new(time: SystemTime, report: &Report) -> Self {
        let Report {
            direction,
            source,
            original_destination,
            service,
            rule,
            destination,
            opened: _,
            connect_time,
            duration,
            bytes_sent,
            bytes_received,
            denied,
            proof:
                Proof {
                    security,
                    source_identity,
                    destination_identity,
                    mesh_generation,
                    policy,
                    audited,
                },
            request,
        } = report;
        Self {
            time: Timestamp(time),
            direction: *direction,
            source: source.address,
            source_pod: shown(source.pod.as_ref()),
            original_destination: *original_destination,
            service: shown(service.as_ref()),
            route: rule.as_ref().map(|rule| rule.to_string()),
            destination: destination.as_ref().map(|peer| peer.address),
            destination_pod: destination.as_ref().and_then(|peer| shown(peer.pod.as_ref())),
            connect_ms: connect_time.map(milliseconds),
            duration_ms: milliseconds(*duration),
            bytes_sent: *bytes_sent,
            bytes_received: *bytes_received,
            reason: denied.map(|denied| denied.label()),
            fault: denied.map(|denied| denied.fault().label()),
            security: *security,
            source_identity: source_identity.as_ref().map(Identity::to_string),
            destination_identity: destination_identity.as_ref().map(Identity::to_string),
            mesh_generation: *mesh_generation,
            policy: policy.as_ref().map(|policy| policy.to_string()),
            audited: audited.iter().map(|policy| policy.to_string()).collect(),
            request: request.as_deref().map(RequestRecord::new),
        }
    }
}

// === impl RequestRecord ===

impl RequestRecord {
    fn new(request: &RequestReport) -> Self {
        let RequestReport {
            method,
            target,
            authority,
            version,
            status,
            id,
            trace,
            response_time,
            retries,
            detail,
        } = request;
        Self {
            method: method.to_string(),
            path: target.path().to_owned(),
            authority: authority.as_ref().map(text),
            protocol: protocol(*version),
            status: status.map(|status| status.as_u16()),
            request_id: id.as_ref().map(text),
            trace: trace.as_ref().map(text),
            response_ms: response_time.map(milliseconds),
            retries: *retries,
            detail: *detail,
        }
    }
}

/// The text form: who, to whom, how much, how long, and why it failed.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.time, self.direction.label(), self.source)?;
        if let Some(pod) = &self.source_pod {
            write!(f, " ({pod})")?;
        }
        write!(f, " -> {}", self.original_destination)?;
        if let Some(service) = &self.service {
            write!(f, " ({service})")?;
        }
        if let Some(destination) = self.destination {
            write!(f, " -> {destination}")?;
        }
        if let Some(pod) = &self.destination_pod {
            write!(f, " ({pod})")?;
        }
        write!(
            f,
            " sent={} received={} duration={}ms",
            self.bytes_sent, self.bytes_received, self.duration_ms
        )?;
        if let Some(connect) = self.connect_ms {
            write!(f, " connect={connect}ms")?;
        }
        if let Some(security) = self.security {
            write!(f, " security={}", security.label())?;
        }
        for (name, value) in [
            ("source_identity", &self.source_identity),
            ("destination_identity", &self.destination_identity),
        ] {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        if let Some(RequestRecord {
            method,
            path,
            authority,
            protocol,
            status,
            ..
        }) = &self.request
        {
            // A path holds what a client wrote.
            write!(f, " {method} {path:?} {protocol}")?;
            if let Some(authority) = authority {
                write!(f, " authority={authority:?}")?;
            }
            if let Some(status) = status {
                write!(f, " status={status}")?;
            }
        }
        // What is named by kind and name has a space in it.
        for (name, value) in [("route", &self.route), ("policy", &self.policy)] {
            if let Some(value) = value {
                write!(f, " {name}={value:?}")?;
            }
        }
        for policy in &self.audited {
            write!(f, " audited={policy:?}")?;
        }
        match (self.reason, self.fault) {
            (Some(reason), Some(fault)) => write!(f, " reason={reason} fault={fault}"),
            _ => Ok(()),
        }
    }
}

/// A header's value; what is no text in it is shown as such.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        // The proxy serves no other.
        _ => "HTTP/1.1",
    }
}

fn shown(name: Option<&ObjectName>) -> Option<String> {
    name.map(ObjectName::to_string)
}

/// Milliseconds with microseconds behind the point.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{
        model::route::sample::mk_rule,
        telemetry::{Denied, Peer},
    };

    #[test]
    fn a_served_connection_is_told_in_full() {
        assert_eq!(
            serde_json::to_value(Record::new(UNIX_EPOCH, &mk_report(None))).unwrap(),
            serde_json::json!({
                "time": "1970-01-01T00:00:00.000Z",
                "direction": "outbound",
                "source": "10.0.0.1:40000",
                "source_pod": "shop/web",
                "original_destination": "10.96.0.1:80",
                "service": "shop/api",
                "route": null,
                "destination": "10.0.1.2:8080",
                "destination_pod": null,
                "connect_ms": 0.25,
                "duration_ms": 1500.0,
                "bytes_sent": 10,
                "bytes_received": 20,
                "reason": null,
                "fault": null,
                "security": null,
                "source_identity": null,
                "destination_identity": null,
                "mesh_generation": 0,
                "policy": null,
            })
        );
        assert_eq!(
            Record::new(UNIX_EPOCH, &mk_report(None)).to_string(),
            "1970-01-01T00:00:00.000Z outbound 10.0.0.1:40000 (shop/web) -> 10.96.0.1:80 (shop/api) -> 10.0.1.2:8080 \
             sent=10 received=20 duration=1500ms connect=0.25ms"
        );
    }

    #[test]
    fn what_is_known_of_its_way_is_told() {
        let mut report = mk_report(None);
        report.proof.security = Some(Security::MutualTls);
        report.rule = Some(mk_rule("main"));
        let record = Record::new(UNIX_EPOCH, &report);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(
            (&json["security"], &json["route"]),
            (&"mutual_tls".into(), &"HTTPRoute default/route/main".into())
        );
        let text = record.to_string();
        assert!(
            text.ends_with(" security=mutual_tls route=\"HTTPRoute default/route/main\""),
            "{text}"
        );
    }

    #[test]
    fn a_refusal_carries_reason_and_fault() {
        let record = Record::new(UNIX_EPOCH, &mk_report(Some(Denied::UpstreamRefused)));
        assert_eq!(
            (record.reason, record.fault),
            (Some("upstream_refused"), Some("upstream"))
        );
        assert!(record.to_string().ends_with(" reason=upstream_refused fault=upstream"));
    }

    fn mk_report(denied: Option<Denied>) -> Report {
        Report {
            direction: Direction::Outbound,
            source: Peer {
                address: "10.0.0.1:40000".parse().unwrap(),
                pod: Some(ObjectName::new("shop", "web")),
            },
            original_destination: "10.96.0.1:80".parse().unwrap(),
            service: Some(ObjectName::new("shop", "api")),
            rule: None,
            destination: Some(Peer {
                address: "10.0.1.2:8080".parse().unwrap(),
                pod: None,
            }),
            opened: UNIX_EPOCH,
            connect_time: Some(Duration::from_micros(250)),
            duration: Duration::from_millis(1500),
            bytes_sent: 10,
            bytes_received: 20,
            denied,
            proof: Proof::default(),
            request: None,
        }
    }
}

//! Prometheus metrics of requests: how many, how they ended, how long they took. Labels are closed.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    Denied, Direction, Report, RequestReport,
    metrics::{Blame, Reason},
};

/// The metrics of requests; what a request that went well touches was found before.
#[derive(Clone, Debug)]
pub(super) struct RequestMetrics {
    ended: Family<EndLabels, Counter>,
    outbound: WayMetrics,
    inbound: WayMetrics,
    local: WayMetrics,
    informational: Counter,
}

/// The metrics of one direction.
#[derive(Clone, Debug)]
struct WayMetrics {
    /// Those that got a response, by its class.
    answered: [Counter; Class::ALL.len()],
    duration: Histogram,
    sent: Counter,
    received: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WayLabels {
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    direction: Direction,
    status: Class,
    reason: Reason,
    fault: Blame,
}

/// The class of a response's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    /// No response.
    None,
    /// 1xx: another protocol follows.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, and what no standard knows.
    ServerError,
}

// === impl RequestMetrics ===

impl RequestMetrics {
    /// Makes the families and registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let ended = Family::<EndLabels, Counter>::default();
        let duration: Family<WayLabels, Histogram> = Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS));
        let [sent, received] = [0; 2].map(|_| Family::<WayLabels, Counter>::default());
        registry.register(
            "weft_requests",
            "Requests ended, by the class of the response, the reason of a refusal, and by whose fault it was",
            ended.clone(),
        );
        let informational = Counter::default();
        registry.register(
            "weft_informational_responses_dropped",
            "Responses of upstreams with 1xx, beside 100 and 101, which do not reach their clients",
            informational.clone(),
        );
        registry.register_with_unit(
            "weft_request_duration",
            "Time from a request's head to the end of its response",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register_with_unit(
            "weft_request_body",
            "Bytes of requests' bodies",
            Unit::Bytes,
            sent.clone(),
        );
        registry.register_with_unit(
            "weft_response_body",
            "Bytes of responses' bodies",
            Unit::Bytes,
            received.clone(),
        );
        let of = |direction| {
            let way = WayLabels { direction };
            WayMetrics {
                answered: Class::ALL.map(|class| ended.get_or_create_owned(&EndLabels::new(direction, class, None))),
                duration: duration.get_or_create_owned(&way),
                sent: sent.get_or_create_owned(&way),
                received: received.get_or_create_owned(&way),
            }
        };
        Self {
            outbound: of(Direction::Outbound),
            inbound: of(Direction::Inbound),
            local: of(Direction::Local),
            ended,
            informational,
        }
    }

    pub(super) fn dropped_informational(&self) {
        self.informational.inc();
    }

    pub(super) fn ended(&self, report: &Report, request: &RequestReport) {
        let way = match report.direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
            Direction::Local => &self.local,
        };
        let class = request.status.map_or(Class::None, |status| Class::of(status.as_u16()));
        match report.denied {
            None => way.answered[class as usize].inc(),
            Some(denied) => self
                .ended
                .get_or_create(&EndLabels::new(report.direction, class, Some(denied)))
                .inc(),
        };
        way.duration.observe(report.duration.as_secs_f64());
        way.sent.inc_by(report.bytes_sent);
        way.received.inc_by(report.bytes_received);
    }
}

// === impl EndLabels ===

impl EndLabels {
    fn new(direction: Direction, status: Class, denied: Option<Denied>) -> Self {
        Self {
            direction,
            status,
            reason: Reason(denied),
            fault: Blame(denied.map(Denied::fault)),
        }
    }
}

// === impl Class ===

impl Class {
    /// In the order of their values.
    const ALL: [Self; 6] = [
        Self::None,
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    fn of(status: u16) -> Self {
        match status {
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

impl EncodeLabelValue for Class {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::None => "",
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
        .encode(encoder)
    }
}

/// From what loopback takes to a long poll.
const DURATION_SECONDS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0, 60.0];

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{Method, StatusCode, Version};
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::telemetry::{ConnectionMetrics, Peer, Proof};

    #[test]
    fn a_request_is_counted_by_its_class_and_reason_and_is_no_connection() {
        let mut registry = Registry::default();
        let metrics = ConnectionMetrics::register(&mut registry);
        metrics.closed(&mk_report(StatusCode::OK, None));
        metrics.closed(&mk_report(StatusCode::BAD_GATEWAY, Some(Denied::UpstreamReset)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"weft_requests_total{direction="local",status="2xx",reason="",fault=""} 1"#,
            r#"weft_requests_total{direction="local",status="5xx",reason="upstream_reset",fault="upstream"} 1"#,
            r#"weft_request_duration_seconds_count{direction="local"} 2"#,
            r#"weft_request_body_bytes_total{direction="local"} 6"#,
            r#"weft_response_body_bytes_total{direction="local"} 8"#,
            r#"weft_connections_closed_total{direction="local",reason="",fault=""} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    fn mk_report(status: StatusCode, denied: Option<Denied>) -> Report {
        Report {
            direction: Direction::Local,
            source: Peer {
                address: "10.0.0.1:1".parse().unwrap(),
                pod: None,
            },
            original_destination: "10.0.0.2:80".parse().unwrap(),
            service: None,
            rule: None,
            destination: None,
            opened: SystemTime::UNIX_EPOCH,
            connect_time: None,
            duration: Duration::from_millis(2),
            bytes_sent: 3,
            bytes_received: 4,
            denied,
            proof: Proof::default(),
            request: Some(Box::new(RequestReport {
                method: Method::GET,
                target: "/".parse().unwrap(),
                authority: None,
                version: Version::HTTP_11,
                status: Some(status),
                id: None,
                trace: None,
                response_time: None,
                retries: 0,
                detail: None,
            })),
        }
    }
}

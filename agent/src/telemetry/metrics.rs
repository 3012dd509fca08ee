//! Prometheus metrics of connections. Labels are closed enums: nothing that a user writes becomes a label's value.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Denied, Direction, Fault, Report, again::AgainMetrics, requests::RequestMetrics};

/// The metrics of connections: families, and what each connection touches of them, found once.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    closed: Family<EndLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
    outbound: WayMetrics,
    inbound: WayMetrics,
    local: WayMetrics,
    requests: RequestMetrics,
    again: AgainMetrics,
}

/// The families by direction.
#[derive(Clone, Debug)]
struct WayFamilies {
    opened: Family<WayLabels, Counter>,
    sent: Family<WayLabels, Counter>,
    received: Family<WayLabels, Counter>,
    connect: Family<WayLabels, Histogram>,
    duration: Family<WayLabels, Histogram>,
}

/// The metrics of one direction.
#[derive(Clone, Debug)]
struct WayMetrics {
    opened: Counter,
    /// Those that the peers ended themselves.
    ended: Counter,
    sent: Counter,
    received: Counter,
    connect: Histogram,
    duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WayLabels {
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    direction: Direction,
    reason: Reason,
    fault: Blame,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    side: TlsSide,
    kind: HandshakeKind,
}

/// Which end of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsSide {
    /// The one that dialled.
    Client,
    /// The one that accepted.
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HandshakeKind {
    Full,
    Resumed,
}

/// [`Denied`], or that the peers ended the connection themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reason(pub(super) Option<Denied>);

/// [`Fault`], or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Blame(pub(super) Option<Fault>);

// === impl ConnectionMetrics ===

impl ConnectionMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let closed = Family::default();
        registry.register(
            "weft_connections_closed",
            "Connections ended, by the reason of a refusal or cut and by whose fault it was",
            closed.clone(),
        );
        let handshakes = Family::default();
        registry.register(
            "weft_tls_handshakes",
            "TLS handshakes with other agents that succeeded, by the side of this one and whether a ticket spared the full one",
            handshakes.clone(),
        );
        let ways = WayFamilies::register(registry);
        Self {
            handshakes,
            outbound: ways.of(Direction::Outbound, &closed),
            inbound: ways.of(Direction::Inbound, &closed),
            local: ways.of(Direction::Local, &closed),
            requests: RequestMetrics::register(registry),
            again: AgainMetrics::register(registry),
            closed,
        }
    }

    pub(super) fn opened(&self, direction: Direction) {
        self.of(direction).opened.inc();
    }

    pub(super) fn shook_hands(&self, side: TlsSide, resumed: bool) {
        let kind = if resumed {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        self.handshakes.get_or_create(&HandshakeLabels { side, kind }).inc();
    }

    pub(super) fn again(&self) -> &AgainMetrics {
        &self.again
    }

    pub(super) fn dropped_informational(&self) {
        self.requests.dropped_informational();
    }

    pub(super) fn closed(&self, report: &Report) {
        if let Some(request) = &report.request {
            return self.requests.ended(report, request);
        }
        let way = self.of(report.direction);
        // Which way a connection goes is known when its upstream answers; one that never got so far is counted here.
        if report.connect_time.is_none() {
            way.opened.inc();
        }
        match report.denied {
            None => way.ended.inc(),
            Some(denied) => self
                .closed
                .get_or_create(&EndLabels::new(report.direction, Some(denied)))
                .inc(),
        };
        way.sent.inc_by(report.bytes_sent);
        way.received.inc_by(report.bytes_received);
        if let Some(connect) = report.connect_time {
            way.connect.observe(connect.as_secs_f64());
        }
        way.duration.observe(report.duration.as_secs_f64());
    }

    fn of(&self, direction: Direction) -> &WayMetrics {
        match direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
            Direction::Local => &self.local,
        }
    }
}

// === impl WayFamilies ===

impl WayFamilies {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            opened: Family::default(),
            sent: Family::default(),
            received: Family::default(),
            connect: Family::new_with_constructor(|| Histogram::new(CONNECT_SECONDS)),
            duration: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
        };
        let Self {
            opened,
            sent,
            received,
            connect,
            duration,
        } = families.clone();
        registry.register("weft_connections_opened", "Connections accepted", opened);
        registry.register_with_unit("weft_sent", "Bytes from clients", Unit::Bytes, sent);
        registry.register_with_unit("weft_received", "Bytes to clients", Unit::Bytes, received);
        registry.register_with_unit(
            "weft_connect",
            "Time from the accept to the upstream's answer",
            Unit::Seconds,
            connect,
        );
        registry.register_with_unit(
            "weft_connection_duration",
            "Time from the accept to the end",
            Unit::Seconds,
            duration,
        );
        families
    }

    fn of(&self, direction: Direction, closed: &Family<EndLabels, Counter>) -> WayMetrics {
        let way = WayLabels { direction };
        WayMetrics {
            opened: self.opened.get_or_create_owned(&way),
            ended: closed.get_or_create_owned(&EndLabels::new(direction, None)),
            sent: self.sent.get_or_create_owned(&way),
            received: self.received.get_or_create_owned(&way),
            connect: self.connect.get_or_create_owned(&way),
            duration: self.duration.get_or_create_owned(&way),
        }
    }
}

// === impl EndLabels ===

impl EndLabels {
    fn new(direction: Direction, denied: Option<Denied>) -> Self {
        Self {
            direction,
            reason: Reason(denied),
            fault: Blame(denied.map(Denied::fault)),
        }
    }
}

// === impl EncodeLabelValue ===

impl EncodeLabelValue for Direction {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.label().encode(encoder)
    }
}

impl EncodeLabelValue for TlsSide {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
        .encode(encoder)
    }
}

impl EncodeLabelValue for HandshakeKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
        }
        .encode(encoder)
    }
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.map_or("", Denied::label).encode(encoder)
    }
}

impl EncodeLabelValue for Blame {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.map_or("", Fault::label).encode(encoder)
    }
}

/// From what loopback takes to the connect time-out.
const CONNECT_SECONDS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0];
/// From one request to a day of idling.
const DURATION_SECONDS: [f64; 9] = [0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0];

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::telemetry::{Peer, Proof};

    #[test]
    fn a_report_is_counted_once_in_each_family() {
        let mut registry = Registry::default();
        let metrics = ConnectionMetrics::register(&mut registry);
        metrics.opened(Direction::Inbound);
        metrics.closed(&Report {
            direction: Direction::Inbound,
            source: Peer {
                address: "10.0.0.1:1".parse().unwrap(),
                pod: None,
            },
            original_destination: "10.0.0.2:80".parse().unwrap(),
            service: None,
            rule: None,
            destination: None,
            opened: SystemTime::UNIX_EPOCH,
            connect_time: Some(Duration::from_millis(2)),
            duration: Duration::from_secs(2),
            bytes_sent: 3,
            bytes_received: 4,
            denied: Some(Denied::PodGone),
            proof: Proof::default(),
            request: None,
        });
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "weft_connections_opened_total{direction=\"inbound\"} 1",
            "weft_connections_closed_total{direction=\"inbound\",reason=\"pod_gone\",fault=\"agent\"} 1",
            "weft_sent_bytes_total{direction=\"inbound\"} 3",
            "weft_received_bytes_total{direction=\"inbound\"} 4",
            "weft_connect_seconds_count{direction=\"inbound\"} 1",
            "weft_connection_duration_seconds_sum{direction=\"inbound\"} 2.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}

//! `conn`: live connections, from the agent's registry; when it is dead, those that the applications still hold.

use std::net::SocketAddr;

use agent_common::mark::{CAPTURED, OURS};
use serde::{Deserialize, Serialize};

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
    kernel::inspect::{Namespaces, Pins},
    net::{ListedSocket, Listing, Mark, TcpState},
    telemetry::{ConnectionId, Direction, LiveConnection, LiveRequest, Phase, Security},
};

/// A live connection, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Connection {
    /// The agent's id of it, for `conn kill`; none when the agent is dead.
    pub(super) id: Option<ConnectionId>,
    /// `outbound`, `inbound` or `local`.
    pub(super) direction: String,
    /// `connecting` or `open`.
    pub(super) phase: String,
    /// The client's address.
    pub(super) source: SocketAddr,
    /// The client's pod as `namespace/name`, or its UID when the agent is dead.
    pub(super) source_pod: Option<String>,
    /// Where the client wanted to go.
    pub(super) original_destination: SocketAddr,
    /// The service behind that address.
    pub(super) service: Option<String>,
    /// Who serves it.
    pub(super) destination: Option<SocketAddr>,
    /// The serving pod, as `source_pod`.
    pub(super) destination_pod: Option<String>,
    /// How its bytes pass from one pod to the other; none as in [`LiveConnection`], and when the agent is
    /// dead.
    pub(super) security: Option<Security>,
    /// The client's identity, where it is proved.
    pub(super) source_identity: Option<String>,
    /// The server's identity, where it is proved.
    pub(super) destination_identity: Option<String>,
    /// The policy that let it in, where one did.
    pub(super) policy: Option<String>,
    /// Since when it is open.
    pub(super) age_ms: Option<u64>,
    /// Bytes from the client.
    pub(super) bytes_sent: Option<u64>,
    /// Bytes to the client.
    pub(super) bytes_received: Option<u64>,
    /// The request, where it is one on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<LiveRequest>,
}

pub(super) fn show(context: &mut Context, pod: Option<&str>) -> Result<Outcome, DebugError> {
    let connections = context.rows(|file| file.connections, "connections", collect)?;
    let chosen = connections
        .into_iter()
        .filter(|connection| pod.is_none_or(|pod| connection.touches(pod)))
        .collect::<Vec<_>>();
    context.output.rows(&chosen)?;
    Ok(Outcome::Done)
}

pub(super) fn kill(context: &mut Context, id: u64) -> Result<Outcome, DebugError> {
    context.live_only("conn kill")?;
    let killed = context
        .agent()?
        .post::<serde_json::Value>(&format!("/connections/{id}/kill"))?;
    context.output.done(&format!("Cut connection {id}"), &killed)?;
    Ok(Outcome::Done)
}

/// The agent's connections in the order of their ids, else the captured ones that the kernel knows.
pub(super) fn collect(context: &Context) -> Result<Vec<Connection>, DebugError> {
    let Some(mut live) = context.told::<Vec<LiveConnection>>("/connections")? else {
        return held_by_applications(&context.pins()?);
    };
    live.sort_by_key(|connection| connection.id);
    Ok(live.into_iter().map(Connection::from).collect())
}

/// The connections in the pods' namespaces that carry the mark of captured ones.
fn held_by_applications(pins: &Pins) -> Result<Vec<Connection>, DebugError> {
    let namespaces = Namespaces::scan();
    let mut connections = Vec::new();
    for pod in pins.pods()? {
        let Some(netns) = pod.namespace(&namespaces) else {
            continue;
        };
        let mut sockets = ListedSocket::list(&netns, Listing::Connections)?;
        sockets.sort_by_key(|socket| (socket.local, socket.peer));
        connections.extend(
            sockets
                .iter()
                .filter_map(|socket| Connection::of_application(&pod.uid, socket)),
        );
    }
    Ok(connections)
}

// === impl Connection ===

impl Connection {
    /// An application's socket, if its connection was captured. What it accepted carries the mark of the agent's leg to it.
    fn of_application(uid: &str, socket: &ListedSocket) -> Option<Self> {
        let Mark(mark) = socket.mark?;
        if mark & CAPTURED == 0 {
            return None;
        }
        let (direction, source, destination) = if mark & OURS == 0 {
            (Direction::Outbound, socket.local, socket.peer)
        } else {
            (Direction::Inbound, socket.peer, socket.local)
        };
        let phase = match socket.state {
            TcpState::SynSent | TcpState::SynReceived => Phase::Connecting,
            TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => Phase::Open,
            TcpState::TimeWait | TcpState::Closed | TcpState::Listen => return None,
        };
        let pod = |end| (direction == end).then(|| uid.to_owned());
        Some(Self {
            id: None,
            direction: direction.label().to_owned(),
            phase: phase.label().to_owned(),
            source,
            source_pod: pod(Direction::Outbound),
            original_destination: destination,
            service: None,
            destination: None,
            destination_pod: pod(Direction::Inbound),
            security: None,
            source_identity: None,
            destination_identity: None,
            policy: None,
            age_ms: None,
            bytes_sent: None,
            bytes_received: None,
            request: None,
        })
    }

    /// Whether one of its ends is the pod called `namespace/name`, or by its name or UID alone.
    fn touches(&self, pod: &str) -> bool {
        [&self.source_pod, &self.destination_pod]
            .into_iter()
            .flatten()
            .any(|end| end == pod || end.split_once('/').is_some_and(|(_, name)| name == pod))
    }
}

impl From<LiveConnection> for Connection {
    fn from(live: LiveConnection) -> Self {
        let LiveConnection {
            id,
            direction,
            phase,
            source,
            source_pod,
            original_destination,
            service,
            destination,
            destination_pod,
            security,
            source_identity,
            destination_identity,
            policy,
            age_ms,
            bytes_sent,
            bytes_received,
            request,
        } = live;
        Self {
            id: Some(id),
            direction: direction.label().to_owned(),
            phase: phase.label().to_owned(),
            source,
            source_pod,
            original_destination,
            service,
            destination,
            destination_pod,
            security,
            source_identity,
            destination_identity,
            policy,
            age_ms: Some(age_ms),
            bytes_sent: Some(bytes_sent),
            bytes_received: Some(bytes_received),
            request,
        }
    }
}

impl Row for Connection {
    const COLUMNS: &'static [&'static str] = &[
        "ID",
        "DIRECTION",
        "PHASE",
        "SOURCE",
        "SOURCE-POD",
        "ORIGINAL-DESTINATION",
        "SERVICE",
        "DESTINATION",
        "DESTINATION-POD",
        "SECURITY",
        "AGE",
        "SENT",
        "RECEIVED",
        "REQUEST",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            or_dash(self.id),
            self.direction.clone(),
            self.phase.clone(),
            self.source.to_string(),
            or_dash(self.source_pod.as_deref()),
            self.original_destination.to_string(),
            or_dash(self.service.as_deref()),
            or_dash(self.destination),
            or_dash(self.destination_pod.as_deref()),
            or_dash(self.security.map(Security::label)),
            or_dash(self.age_ms.map(age)),
            or_dash(self.bytes_sent),
            or_dash(self.bytes_received),
            or_dash(
                self.request
                    .as_ref()
                    .map(|request| format!("{} {}", request.method, request.path)),
            ),
        ]
    }
}

/// An age as short as a table wants it.
fn age(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        seconds @ 0..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        seconds @ 60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_keeps_the_json_keys_of_the_agents_own() {
        let live = mk_live();
        assert_eq!(
            serde_json::to_value(Connection::from(live.clone())).unwrap(),
            serde_json::to_value(live).unwrap()
        );
        assert_eq!(
            serde_json::to_value(Connection::from(mk_live())).unwrap(),
            json!({
                "id": 17, "direction": "outbound", "phase": "open", "source": "10.244.1.10:40000",
                "source_pod": "shop/web-0", "original_destination": "10.96.0.10:80", "service": "shop/cart",
                "destination": "10.244.2.7:8080", "destination_pod": "shop/cart-0",
                "security": "mutual_tls", "source_identity": "spiffe://cluster.local/ns/shop/sa/web",
                "destination_identity": null, "policy": null, "age_ms": 61_500,
                "bytes_sent": 10, "bytes_received": 20,
            })
        );
    }

    #[test]
    fn connections_are_chosen_by_either_end() {
        let connection = Connection::from(mk_live());
        for pod in ["shop/web-0", "web-0", "shop/cart-0", "cart-0"] {
            assert!(connection.touches(pod), "{pod}");
        }
        assert!(!connection.touches("shop/web"));
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(age(1_540), "1.5s");
        assert_eq!(age(61_500), "1m1s");
        assert_eq!(age(7_260_000), "2h1m");
    }

    fn mk_live() -> LiveConnection {
        LiveConnection {
            id: ConnectionId(17),
            direction: Direction::Outbound,
            phase: Phase::Open,
            source: "10.244.1.10:40000".parse().unwrap(),
            source_pod: Some("shop/web-0".to_owned()),
            original_destination: "10.96.0.10:80".parse().unwrap(),
            service: Some("shop/cart".to_owned()),
            destination: Some("10.244.2.7:8080".parse().unwrap()),
            destination_pod: Some("shop/cart-0".to_owned()),
            security: Some(Security::MutualTls),
            source_identity: Some("spiffe://cluster.local/ns/shop/sa/web".to_owned()),
            destination_identity: None,
            policy: None,
            age_ms: 61_500,
            bytes_sent: 10,
            bytes_received: 20,
            request: None,
        }
    }
}

//! A connection that is still open, as `weft debug conn show` prints it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Direction, RequestReport, Security};

/// Names one connection of a running agent; never used twice by the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// What is known of an open connection. The names of its fields are a stable interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveConnection {
    /// Its name.
    pub id: ConnectionId,
    /// Which way it passes the agent.
    pub direction: Direction,
    /// How far it has come.
    pub phase: Phase,
    /// The client's address.
    pub source: SocketAddr,
    /// The client's pod as `namespace/name`, where it is known.
    pub source_pod: Option<String>,
    /// Where the client wanted to go.
    pub original_destination: SocketAddr,
    /// The service behind that address as `namespace/name`.
    pub service: Option<String>,
    /// Who serves it; none until it is picked.
    pub destination: Option<SocketAddr>,
    /// The serving pod as `namespace/name`, where it is known.
    pub destination_pod: Option<String>,
    /// How its bytes pass from one pod to the other; none until they do, and of a client's connection whose requests go
    /// their own ways.
    pub security: Option<Security>,
    /// The client's identity, where it is proved.
    pub source_identity: Option<String>,
    /// The server's identity, where it is proved.
    pub destination_identity: Option<String>,
    /// The policy that let it in, where one did.
    pub policy: Option<String>,
    /// Since when it is open, in milliseconds.
    pub age_ms: u64,
    /// Bytes from the client so far.
    pub bytes_sent: u64,
    /// Bytes to the client so far.
    pub bytes_received: u64,
    /// The request, where the row is one on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<LiveRequest>,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRequest {
    /// Its method.
    pub method: String,
    /// The path of its target.
    pub path: String,
    /// The host that the client named.
    pub authority: Option<String>,
    /// The status of its response, once there is one.
    pub status: Option<u16>,
}

/// How far an open connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted; the upstream has not answered yet.
    Connecting,
    /// Bytes may flow.
    Open,
    /// A connection to another agent that waits for its next stream.
    Pooled,
    /// A proof that the network lets one pod of this node reach another.
    Leased,
}

// === impl LiveRequest ===

impl LiveRequest {
    /// What is known of it so far.
    pub fn of(request: &RequestReport) -> Self {
        let text = |host: &http::HeaderValue| String::from_utf8_lossy(host.as_bytes()).into_owned();
        Self {
            method: request.method.to_string(),
            path: request.target.path().to_owned(),
            authority: request.authority.as_ref().map(text),
            status: request.status.map(|status| status.as_u16()),
        }
    }
}

// === impl ConnectionId ===

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Phase ===

impl Phase {
    /// The phase as tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Pooled => "pooled",
            Self::Leased => "leased",
        }
    }
}

//! The record of one connection, or of one request on it.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, Uri, Version};
use serde::{Deserialize, Serialize};

use super::Denied;
use crate::model::{Identity, ObjectName, PolicyId, RouteRule};

/// What is told about one connection when it ends.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which way it passed the agent.
    pub direction: Direction,
    /// Who opened it.
    pub source: Peer,
    /// Where it wanted to go.
    pub original_destination: SocketAddr,
    /// The service behind that address.
    pub service: Option<ObjectName>,
    /// The rule of a route that decided where it goes.
    pub rule: Option<Arc<RouteRule>>,
    /// Who served it.
    pub destination: Option<Peer>,
    /// When it was accepted.
    pub opened: SystemTime,
    /// From the accept to the upstream's answer; none when there was no answer.
    pub connect_time: Option<Duration>,
    /// From the accept to the end.
    pub duration: Duration,
    /// Bytes from the client.
    pub bytes_sent: u64,
    /// Bytes to the client.
    pub bytes_received: u64,
    /// Why it was refused or cut; none when the peers ended it themselves.
    pub denied: Option<Denied>,
    /// What was proved, and which policies say so.
    pub proof: Proof,
    /// The request, where the report is of one: all times are its own then, and its bytes are those of its bodies.
    pub request: Option<Box<RequestReport>>,
}

/// What is told about a request beside what its connection tells.
#[derive(Clone, Debug)]
pub struct RequestReport {
    /// Its method.
    pub method: Method,
    /// Its target, of which only the path is shown: a query may hold secrets.
    pub target: Uri,
    /// The host that the client named.
    pub authority: Option<HeaderValue>,
    /// The HTTP version that the client speaks.
    pub version: Version,
    /// The status that the client got; none where it got none.
    pub status: Option<StatusCode>,
    /// `x-request-id`.
    pub id: Option<HeaderValue>,
    /// `traceparent`, or the `b3` header where there is only that.
    pub trace: Option<HeaderValue>,
    /// From the request's head to the response's.
    pub response_time: Option<Duration>,
    /// How often it was sent again because its route says so.
    pub retries: u32,
    /// What exactly is wrong with a request that was refused.
    pub detail: Option<&'static str>,
}

/// What is proved of a connection's ends, and by what it was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// How its bytes pass from one pod to the other; none where none passed, and of a client's connection whose requests
    /// go their own ways.
    pub security: Option<Security>,
    /// Who opened it.
    pub source_identity: Option<Identity>,
    /// Who serves it.
    pub destination_identity: Option<Identity>,
    /// The generation of the mesh by which it was judged last: of this agent, counted from its start.
    pub mesh_generation: u64,
    /// The policy that decided; none where none holds or matches.
    pub policy: Option<Arc<PolicyId>>,
    /// The policies that only watch, and match.
    pub audited: Vec<Arc<PolicyId>>,
}

/// How a connection's bytes pass from one pod to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// As they are.
    Plaintext,
    /// Inside mutual TLS.
    MutualTls,
    /// In memory: both pods are this node's.
    SameNode,
}

/// Which way a connection passed the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a pod of this node to elsewhere.
    Outbound,
    /// From elsewhere to a pod of this node.
    Inbound,
    /// Between two pods of this node: one pass.
    Local,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The pod, where it is known.
    pub pod: Option<ObjectName>,
}

// === impl Security ===

impl Security {
    /// The security as logs, metrics and tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::MutualTls => "mutual_tls",
            Self::SameNode => "same_node",
        }
    }
}

// === impl Direction ===

impl Direction {
    /// The direction as logs, metrics and tables show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Local => "local",
        }
    }
}

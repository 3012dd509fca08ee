//! Routes as they are written, each valid in itself.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Conditions, Filters, PathMatch, Retry, SessionPersistence, Timeouts};
use crate::model::ObjectName;

/// A kind of route; the first of two that are bound to one port of a Service holds (GEP-1294).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteKind {
    /// gRPC, chosen by service, method and headers.
    GrpcRoute,
    /// HTTP, chosen by path, method, headers and query.
    HttpRoute,
    /// TLS of the application's own, chosen by the server name.
    TlsRoute,
    /// Bytes.
    TcpRoute,
}

/// A route by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteId {
    /// The kind.
    pub kind: RouteKind,
    /// Namespace and name.
    pub name: ObjectName,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Kind and name.
    pub id: RouteId,
    /// `metadata.creationTimestamp`, in seconds; those without one are the youngest.
    pub created: Option<i64>,
    /// The Services to which it is bound, as `parentRefs` names them; others (Gateways) are left out.
    pub parents: Vec<Parent>,
    /// The server names of a TLSRoute; empty for the other kinds, whose hostnames say nothing in a mesh.
    pub server_names: Vec<Arc<str>>,
    /// Its rules, in order.
    pub rules: Vec<WrittenRule>,
}

/// A Service to which a route is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its index in `spec.parentRefs`.
    pub index: usize,
    /// The Service.
    pub service: ObjectName,
    /// The number of one of its ports; all of them without.
    pub port: Option<u16>,
    /// The name of one of its ports.
    pub section: Option<Arc<str>>,
}

/// A rule of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WrittenRule {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// What it is for; one that fits is enough. Empty for streams.
    pub matches: Vec<Match>,
    /// What happens to its requests.
    pub filters: Filters,
    /// Where they go, by weight.
    pub backends: Vec<WeightedBackend>,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// When they are tried again.
    pub retry: Option<Retry>,
    /// Whether a session stays with its endpoint.
    pub session: Option<SessionPersistence>,
}

/// Requests that a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Match {
    /// Their path.
    pub path: PathMatch,
    /// What else they have to be.
    pub conditions: Conditions,
}

/// A backend with its share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedBackend {
    /// What it is.
    pub target: BackendTarget,
    /// Its part of the sum of all weights.
    pub weight: u32,
    /// What happens to the requests that go to it.
    pub filters: Filters,
}

/// What a `backendRef` names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BackendTarget {
    /// A port of a Service.
    Service {
        /// The Service.
        service: ObjectName,
        /// Its port.
        port: u16,
    },
    /// An object of a kind that is no backend here.
    OtherKind {
        /// `group/Kind`.
        kind: Arc<str>,
    },
}

/// Why a backend cannot be used; requests for it get 500, connections are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
pub enum UnresolvedBackend {
    /// There is no such Service.
    #[error("there is no Service {0}")]
    NoService(ObjectName),
    /// The Service has no such port, or none that carries TCP.
    #[error("Service {0} has no TCP port {1}")]
    NoPort(ObjectName, u16),
    /// It stands for a name outside.
    #[error("Service {0} is an ExternalName, which has no endpoints")]
    ExternalName(ObjectName),
    /// It is no Service.
    #[error("`{0}` cannot be a backend, only a Service (group \"\")")]
    OtherKind(Arc<str>),
    /// The rule names no backend, or only such that have no weight.
    #[error("no backend of the rule has a weight")]
    None,
}

// === impl RouteKind ===

impl RouteKind {
    /// The name as manifests write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::GrpcRoute => "GRPCRoute",
            Self::HttpRoute => "HTTPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
        }
    }

    /// Whether it decides on each request, and not on connections.
    pub fn is_of_requests(self) -> bool {
        match self {
            Self::GrpcRoute | Self::HttpRoute => true,
            Self::TlsRoute | Self::TcpRoute => false,
        }
    }
}

// === impl RouteId ===

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.label(), self.name)
    }
}

// === impl Route ===

impl Route {
    /// Oldest first, then by name: who comes first where nothing else decides.
    pub(super) fn age(&self) -> (i64, &RouteId) {
        (self.created.unwrap_or(i64::MAX), &self.id)
    }

    /// Whether it holds for all clients of a Service, and not only for those of its own namespace.
    pub fn is_producer_of(&self, service: &ObjectName) -> bool {
        self.id.name.namespace == service.namespace
    }
}

// === impl BackendTarget ===

impl fmt::Display for BackendTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { service, port } => write!(f, "{service}:{port}"),
            Self::OtherKind { kind } => f.write_str(kind),
        }
    }
}

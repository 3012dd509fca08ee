//! A rule that decides on a request, with what it decides.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Filters, RouteId, UnresolvedBackend};
use crate::model::ObjectName;

/// A rule, its backends resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its route.
    pub route: RouteId,
    /// Its place in the route.
    pub index: usize,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// What happens to its requests; of mirrors those that can be used.
    pub filters: Filters,
    /// How long its requests may take.
    pub timeouts: Timeouts,
    /// When they are tried again.
    pub retry: Option<Retry>,
    /// Whether a session stays with its endpoint.
    pub session: Option<SessionPersistence>,
    /// The backends that have a weight, each with the sum of the weights up to and with its own.
    pub(super) backends: Vec<(u64, Backend)>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Backend {
    /// To this port of a Service.
    Resolved(Box<ResolvedBackend>),
    /// Nowhere: a request gets 500, a connection is refused.
    Unresolved(UnresolvedBackend),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedBackend {
    /// The Service.
    pub service: ObjectName,
    /// Its port.
    pub port: u16,
    /// What happens to the requests that go to it, after what the rule does to all.
    pub filters: Filters,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the client's request to the end of the response, over all tries; no limit without.
    pub request: Option<Duration>,
    /// Each try.
    pub backend_request: Option<Duration>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// After which statuses, beside connections that fail.
    pub statuses: Vec<u16>,
    /// How often at most, beside the first time.
    pub attempts: u32,
    /// How long at least between two tries.
    pub backoff: Option<Duration>,
}

/// How a session stays with its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPersistence {
    /// The name of the cookie or header; without, the proxy's.
    pub name: Option<Arc<str>>,
    /// Where the token is carried.
    pub token: SessionToken,
    /// How long a session lasts.
    pub absolute_timeout: Option<Duration>,
    /// How long a session lasts without a request.
    pub idle_timeout: Option<Duration>,
}

/// Where the token of a session is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionToken {
    /// In a cookie.
    Cookie(SessionLifetime),
    /// In a header.
    Header,
}

/// How long a browser keeps a session's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionLifetime {
    /// Until it is closed.
    Session,
    /// As long as the session lasts.
    Permanent,
}

// === impl Rule ===

/// As records show it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}/{name}", self.route),
            None => write!(f, "{}/{}", self.route, self.index),
        }
    }
}

impl Rule {
    /// One of the backends, by weight and an even random number.
    pub fn pick(&self, random: u64) -> &Backend {
        let total = self.backends.last().map_or(1, |(upto, _)| (*upto).max(1));
        let drawn = random % total;
        let index = self.backends.partition_point(|(upto, _)| *upto <= drawn);
        self.backends.get(index).map_or(&NOWHERE, |(_, backend)| backend)
    }

    /// The backends with their weights.
    pub fn backends(&self) -> impl Iterator<Item = (u64, &Backend)> {
        let before = [0].into_iter().chain(self.backends.iter().map(|(upto, _)| *upto));
        let backends = self.backends.iter().zip(before);
        backends.map(|((upto, backend), before)| (upto - before, backend))
    }
}

/// Where requests go of which no backend has a weight.
static NOWHERE: Backend = Backend::Unresolved(UnresolvedBackend::None);

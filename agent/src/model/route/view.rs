//! Routes in the shape in which the agent tells them to `weft debug`.
//!
//! The names of the fields are a stable interface, since `weft debug -j` prints them.

mod verdict;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::verdict::{Opening, RouteQuestion, RouteVerdict, Unaskable};
use super::{Backend, BackendTarget, Match, PathMatch, Retry, Rule, Share, TextMatch};
use crate::model::Mesh;

/// A route where it decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// `HTTPRoute` and so on.
    pub kind: String,
    /// The route's namespace.
    pub namespace: String,
    /// The route's name.
    pub name: String,
    /// The Service for whose clients it decides, as `namespace/name`.
    pub service: String,
    /// The port of the Service.
    pub port: u16,
    /// The namespace of the clients; none for all.
    pub clients: Option<String>,
    /// How many rules it has.
    pub rules: usize,
    /// Where its rules send requests, by weight, without repetition.
    pub backends: Vec<String>,
    /// Where its rules send copies of requests, without repetition.
    #[serde(default)]
    pub mirrors: Vec<String>,
}

// === impl Mesh ===

impl Mesh {
    /// Where routes decide, in the order of Services and ports.
    pub fn route_views(&self) -> Vec<RouteView> {
        let placed = self.all_routes().into_iter();
        let views = placed.flat_map(|placed| {
            let rules = placed.routes.rules();
            placed.routes.routes().iter().map(move |route| {
                let own: Vec<_> = rules.iter().filter(|rule| rule.route == *route).collect();
                let mut backends: Vec<String> = own.iter().flat_map(|rule| backends(rule)).collect();
                let mut mirrors: Vec<String> = own.iter().flat_map(|rule| mirrors(rule)).collect();
                for told in [&mut backends, &mut mirrors] {
                    told.sort();
                    told.dedup();
                }
                RouteView {
                    kind: route.kind.label().to_owned(),
                    namespace: route.name.namespace.to_string(),
                    name: route.name.name.to_string(),
                    service: placed.service.to_string(),
                    port: placed.port,
                    clients: placed.clients.map(ToString::to_string),
                    rules: own.len(),
                    backends,
                    mirrors,
                }
            })
        });
        views.collect()
    }
}

fn backends(rule: &Rule) -> Vec<String> {
    let told = rule.backends().map(|(weight, backend)| match backend {
        Backend::Resolved(resolved) => format!("{}:{} weight {weight}", resolved.service, resolved.port),
        Backend::Unresolved(reason) if rule.route.kind.is_of_requests() => format!("500 ({reason}) weight {weight}"),
        Backend::Unresolved(reason) => format!("refused ({reason}) weight {weight}"),
    });
    told.filter(|_| rule.filters.redirect.is_none()).collect()
}

fn mirrors(rule: &Rule) -> Vec<String> {
    let of_backends = rule.backends().filter_map(|(_, backend)| match backend {
        Backend::Resolved(resolved) => Some(&resolved.filters),
        Backend::Unresolved(_) => None,
    });
    let filters = [&rule.filters].into_iter().chain(of_backends);
    let told = filters.flat_map(|filters| &filters.mirrors).filter_map(|mirror| {
        let Share { numerator, denominator } = mirror.share;
        match &mirror.target {
            BackendTarget::Service { service, port } => Some(format!("{service}:{port}, {numerator} of {denominator}")),
            BackendTarget::OtherKind { kind: _ } => None,
        }
    });
    told.filter(|_| rule.filters.redirect.is_none()).collect()
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            statuses,
            attempts,
            backoff,
        } = self;
        write!(f, "{attempts} times at most, after connections that fail")?;
        for status in statuses {
            write!(f, ", {status}")?;
        }
        match backoff {
            Some(backoff) => write!(f, "; {backoff:?} or more between two"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            PathMatch::Exact(path) => write!(f, "path = {path}")?,
            PathMatch::Prefix(prefix) => write!(f, "path below {prefix}")?,
            PathMatch::Pattern(pattern) => write!(f, "path like {}", pattern.as_str())?,
            PathMatch::GrpcMethod(method) => write!(f, "gRPC method {method}")?,
        }
        let conditions = &self.conditions;
        if let Some(method) = &conditions.method {
            write!(f, ", method {method}")?;
        }
        for (name, wanted) in &conditions.headers {
            write!(f, ", header {} {wanted}", name.as_str())?;
        }
        for wanted in &conditions.parameters {
            write!(f, ", parameter {} {}", wanted.name, wanted.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "= {text}"),
            Self::Pattern(pattern) => write!(f, "like {}", pattern.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;

//! Routes in the shape in which the agent tells them to `weft debug`, and what they make of one request.
//!
//! The names of the fields are a stable interface, since `weft debug -j` prints them.

use std::fmt;

use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

use super::{Backend, BackendTarget, Chosen, Match, PathMatch, Retry, RouteKind, Rule, Share, TextMatch};
use crate::model::{Destination, Mesh, Pod, Service, Transport};

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

/// What routes make of one request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteVerdict {
    /// The Service that was dialled, as `namespace/name`.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// The route whose rule decides; none where no route does, or no rule fits.
    pub route: Option<String>,
    /// The rule's name, else its place in the route.
    pub rule: Option<String>,
    /// Which of its matches fits.
    pub matched: Option<String>,
    /// Where the request goes, by weight.
    pub backends: Vec<String>,
    /// Where copies of it go, and of how many; those of backends only when the backend is drawn.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// When it is tried again.
    #[serde(default)]
    pub retry: Option<String>,
    /// The status that the proxy answers by itself, where it does for every request.
    pub status: Option<u16>,
    /// Why, in words.
    pub reason: String,
}

/// A request of which nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unaskable {
    /// No pod of the node is called so.
    #[error("no pod here is called {0}")]
    NoPod(String),
    /// The URL names no Service.
    #[error("`{0}` names no Service: neither its address nor NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc")]
    NoService(String),
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

    /// What routes make of a request by a pod of this node: by the code that decides on requests.
    ///
    /// # Errors
    ///
    /// When there is no such pod, or the URL names no Service.
    pub fn test_route(
        &self,
        from: &str,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<RouteVerdict, Unaskable> {
        let mut pods = self.pods.values().filter(|pod| pod.is_called(from));
        let pod: &Pod = pods.next().ok_or_else(|| Unaskable::NoPod(from.to_owned()))?;
        let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
        let host = uri.host().unwrap_or_default();
        let service = self
            .service_called(host, port, &pod.name.namespace)
            .ok_or_else(|| Unaskable::NoService(host.to_owned()))?;
        let answer = RouteVerdict {
            service: service.name.to_string(),
            port,
            route: None,
            rule: None,
            matched: None,
            backends: Vec::new(),
            mirrors: Vec::new(),
            retry: None,
            status: None,
            reason: String::new(),
        };
        let Some(routes) = self.routes(&service.name, port, &pod.name.namespace) else {
            return Ok(RouteVerdict {
                backends: vec![format!("{}:{port}", service.name)],
                reason: "no route decides there: the Service's own endpoints serve".to_owned(),
                ..answer
            });
        };
        if routes.kind() == RouteKind::TlsRoute {
            let names: Vec<String> = routes.routes().iter().map(ToString::to_string).collect();
            return Ok(RouteVerdict {
                backends: routes.rules().into_iter().flat_map(|rule| backends(rule)).collect(),
                reason: format!("the server name of a TLS client decides, by {}", names.join(", ")),
                ..answer
            });
        }
        let Some(Chosen { rule, matched }) = routes.explain(method, uri, headers) else {
            let names: Vec<String> = routes.routes().iter().map(ToString::to_string).collect();
            return Ok(RouteVerdict {
                status: Some(404),
                reason: format!("no rule fits of {}", names.join(", ")),
                ..answer
            });
        };
        let redirects = rule.filters.redirect.as_ref();
        let resolves = rule
            .backends()
            .any(|(_, backend)| matches!(backend, Backend::Resolved(_)));
        let (status, reason) = match (redirects, resolves, routes.kind().is_of_requests()) {
            (Some(redirect), _, _) => (Some(redirect.status), "the rule redirects"),
            (None, true, true) => (None, "the first rule that fits, the most specific first"),
            (None, true, false) => (None, "the rule decides on connections, whatever they carry"),
            (None, false, true) => (Some(500), "the rule fits, and none of its backends can be used"),
            (None, false, false) => (None, "connections are refused: none of the rule's backends can be used"),
        };
        Ok(RouteVerdict {
            route: Some(rule.route.to_string()),
            rule: Some(
                rule.name
                    .as_deref()
                    .map_or_else(|| rule.index.to_string(), str::to_owned),
            ),
            matched: matched.map(ToString::to_string),
            backends: backends(rule),
            mirrors: mirrors(rule),
            retry: rule.retry.as_ref().map(ToString::to_string),
            status,
            reason: reason.to_owned(),
            ..answer
        })
    }

    /// The Service that a host means for clients of a namespace.
    fn service_called(&self, host: &str, port: u16, namespace: &str) -> Option<&Service> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return match self.resolve(std::net::SocketAddr::new(ip, port), Transport::Tcp).ok()? {
                Destination::Service { service, .. } => self.services.get(&service.name).map(|service| &**service),
                Destination::Pod(_) | Destination::Unknown => None,
            };
        }
        let mut parts = host.splitn(3, '.');
        let (name, namespace) = (parts.next()?, parts.next().unwrap_or(namespace));
        let domain = format!("svc.{}", self.config.cluster_domain);
        let known = parts.next().is_none_or(|rest| rest == "svc" || rest == domain);
        let name = super::super::ObjectName::new(namespace, name);
        self.services.get(&name).filter(|_| known).map(|service| &**service)
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

impl fmt::Display for RouteVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.service, self.port, self.reason)?;
        for (what, value) in [("route", &self.route), ("rule", &self.rule), ("match", &self.matched)] {
            if let Some(value) = value {
                write!(f, "\n  {what}: {value}")?;
            }
        }
        if let Some(status) = self.status {
            write!(f, "\n  status: {status}")?;
        }
        if let Some(retry) = &self.retry {
            write!(f, "\n  retry: {retry}")?;
        }
        for backend in &self.backends {
            write!(f, "\n  backend: {backend}")?;
        }
        self.mirrors
            .iter()
            .try_for_each(|mirror| write!(f, "\n  mirror: {mirror}"))
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

/// What a URL without a port means.
const DEFAULT_PORT: u16 = 80;

#[cfg(test)]
mod tests;

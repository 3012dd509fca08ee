//! What routes make of one request, or of one connection that begins with TLS.

use std::{fmt, net::SocketAddr};

use http::{HeaderMap, Method, Uri, uri::Scheme};
use serde::{Deserialize, Serialize};

use super::{backends, mirrors};
use crate::model::{
    AppProtocol, Destination, Mesh, ObjectName, Pod, Service, Transport,
    route::{Backend, Chosen, RouteKind, Routes, Rule, StreamChoice, is_server_name},
};

/// What is asked of routes.
#[derive(Clone, Debug)]
pub struct RouteQuestion {
    /// The pod that asks: namespace/name, name or UID.
    pub from: String,
    /// The Service, or its address, and the port.
    pub to: Uri,
    /// What is said there.
    pub opening: Opening,
}

/// What a client says first.
#[derive(Clone, Debug)]
pub enum Opening {
    /// A request for the path of the URL.
    Request {
        /// Its method.
        method: Method,
        /// Its headers.
        headers: HeaderMap,
    },
    /// A ClientHello that names this server.
    Tls(String),
}

/// What routes make of it, and why.
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
    /// Which of its matches, or of the route's server names, fits.
    pub matched: Option<String>,
    /// Where the request, or the connection, goes, by weight.
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
    /// No client of TLS can ask for that.
    #[error("`{0}` is no name of a server: a TLS client names a host in full")]
    NoServerName(String),
    /// The URL names no Service.
    #[error("`{0}` names no Service: neither its address nor NAME, NAME.NAMESPACE or NAME.NAMESPACE.svc")]
    NoService(String),
}

// === impl Mesh ===

impl Mesh {
    /// What routes make of what a pod of this node opens: by the code that decides on requests and connections.
    ///
    /// # Errors
    ///
    /// When there is no such pod, the URL names no Service, or no client can name that server.
    pub fn test_route(&self, question: &RouteQuestion) -> Result<RouteVerdict, Unaskable> {
        let RouteQuestion { from, to, opening } = question;
        let mut pods = self.pods.values().filter(|pod| pod.is_called(from));
        let pod: &Pod = pods.next().ok_or_else(|| Unaskable::NoPod(from.clone()))?;
        if let Opening::Tls(name) = opening
            && !is_server_name(name.as_bytes())
        {
            return Err(Unaskable::NoServerName(name.clone()));
        }
        let port = to.port_u16().unwrap_or(match to.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => HTTPS_PORT,
            Some(_) | None => HTTP_PORT,
        });
        let host = to.host().unwrap_or_default();
        let service = self
            .service_called(host, port, &pod.name.namespace)
            .ok_or_else(|| Unaskable::NoService(host.to_owned()))?;
        let answer = RouteVerdict::of_service(service, port);
        let Some(routes) = self.routes(&service.name, port, &pod.name.namespace) else {
            return Ok(answer.own("no route decides there"));
        };
        Ok(match opening {
            Opening::Request { method, headers } => answer.of_request(routes, method, to, headers),
            Opening::Tls(name) => {
                let mut ports = service.ports.iter();
                let declared = ports.find(|own| own.port == port && own.transport == Transport::Tcp);
                let declared = declared.and_then(|port| port.app_protocol);
                answer.of_tls(routes, name, declared)
            }
        })
    }

    /// The Service that a host means for clients of a namespace.
    fn service_called(&self, host: &str, port: u16, namespace: &str) -> Option<&Service> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return match self.resolve(SocketAddr::new(ip, port), Transport::Tcp).ok()? {
                Destination::Service { service, .. } => self.services.get(&service.name).map(|service| &**service),
                Destination::Pod(_) | Destination::Unknown => None,
            };
        }
        let mut parts = host.splitn(3, '.');
        let (name, namespace) = (parts.next()?, parts.next().unwrap_or(namespace));
        let domain = format!("svc.{}", self.config.cluster_domain);
        let known = parts.next().is_none_or(|rest| rest == "svc" || rest == domain);
        let name = ObjectName::new(namespace, name);
        self.services.get(&name).filter(|_| known).map(|service| &**service)
    }
}

// === impl RouteVerdict ===

impl RouteVerdict {
    fn of_service(service: &Service, port: u16) -> Self {
        Self {
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
        }
    }

    fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..self
        }
    }

    /// Who has dialled the Service gets to it.
    fn own(self, reason: &str) -> Self {
        Self {
            backends: vec![format!("{}:{}", self.service, self.port)],
            ..self.because(format!("{reason}: the Service's own endpoints serve"))
        }
    }

    fn of_request(self, routes: &Routes, method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        if routes.kind() == RouteKind::TlsRoute {
            return Self {
                backends: routes.rules().into_iter().flat_map(|rule| backends(rule)).collect(),
                ..self.because(format!("the server name of a TLS client decides, by {}", names(routes)))
            };
        }
        match routes.explain(method, uri, headers) {
            Some(Chosen { rule, matched }) => self.by_rule(rule, matched.map(ToString::to_string)),
            None => Self {
                status: Some(404),
                ..self.because(format!("no rule fits of {}", names(routes)))
            },
        }
    }

    fn of_tls(self, routes: &Routes, server_name: &str, declared: Option<AppProtocol>) -> Self {
        match routes.choose_stream(Some(server_name)) {
            StreamChoice::Rule { rule, name } => self.by_rule(rule, name.map(|name| format!("server name {name}"))),
            StreamChoice::Refused => self.because(format!(
                "connections are refused: {server_name} is no name of {}",
                names(routes)
            )),
            StreamChoice::Unconcerned if declared.is_some_and(AppProtocol::is_http) => Self {
                status: Some(400),
                ..self.because("the port is declared as HTTP, and TLS is none")
            },
            StreamChoice::Unconcerned => self.own("routes decide on requests there, which TLS hides"),
        }
    }

    fn by_rule(self, rule: &Rule, matched: Option<String>) -> Self {
        let redirects = rule.filters.redirect.as_ref();
        let resolves = rule
            .backends()
            .any(|(_, backend)| matches!(backend, Backend::Resolved(_)));
        let (status, reason) = match (redirects, resolves, rule.route.kind) {
            (Some(redirect), _, _) => (Some(redirect.status), "the rule redirects"),
            (None, true, RouteKind::HttpRoute | RouteKind::GrpcRoute) => {
                (None, "the first rule that fits, the most specific first")
            }
            (None, true, RouteKind::TcpRoute) => (None, "the rule decides on connections, whatever they carry"),
            (None, true, RouteKind::TlsRoute) => (None, "the server name decides, the longest that fits"),
            (None, false, RouteKind::HttpRoute | RouteKind::GrpcRoute) => {
                (Some(500), "the rule fits, and none of its backends can be used")
            }
            (None, false, RouteKind::TcpRoute | RouteKind::TlsRoute) => {
                (None, "connections are refused: none of the rule's backends can be used")
            }
        };
        let name = rule.name.as_deref();
        Self {
            route: Some(rule.route.to_string()),
            rule: Some(name.map_or_else(|| rule.index.to_string(), str::to_owned)),
            matched,
            backends: backends(rule),
            mirrors: mirrors(rule),
            retry: rule.retry.as_ref().map(ToString::to_string),
            status,
            ..self.because(reason)
        }
    }
}

fn names(routes: &Routes) -> String {
    let names: Vec<String> = routes.routes().iter().map(ToString::to_string).collect();
    names.join(", ")
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

/// What a URL without a port means.
const HTTP_PORT: u16 = 80;
/// What one of HTTPS without a port means.
const HTTPS_PORT: u16 = 443;

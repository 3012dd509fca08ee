//! Routes in the shape in which the agent tells them to `weft debug`, and what they make of one request.
//!
//! The names of the fields are a stable interface, since `weft debug -j` prints them.

use std::fmt;

use http::{HeaderMap, Method, Uri};
use serde::{Deserialize, Serialize};

use super::{Backend, Chosen, Match, PathMatch, Rule, TextMatch};
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
                backends.sort();
                backends.dedup();
                RouteView {
                    kind: route.kind.label().to_owned(),
                    namespace: route.name.namespace.to_string(),
                    name: route.name.name.to_string(),
                    service: placed.service.to_string(),
                    port: placed.port,
                    clients: placed.clients.map(ToString::to_string),
                    rules: own.len(),
                    backends,
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
        let (status, reason) = match (redirects, resolves) {
            (Some(redirect), _) => (Some(redirect.status), "the rule redirects"),
            (None, true) => (None, "the first rule that fits, the most specific first"),
            (None, false) => (Some(500), "the rule fits, and none of its backends can be used"),
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
        Backend::Unresolved(reason) => format!("500 ({reason}) weight {weight}"),
    });
    told.filter(|_| rule.filters.redirect.is_none()).collect()
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
        self.backends
            .iter()
            .try_for_each(|backend| write!(f, "\n  backend: {backend}"))
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
mod tests {
    use super::*;
    use crate::model::{
        Contents, Route,
        route::sample::{mk_match, mk_route, mk_written_rule},
        sample::{mk_pod, mk_service},
    };

    fn mk_mesh(routes: Vec<Route>) -> Mesh {
        Mesh::new(Contents {
            pods: vec![mk_pod("front", "10.0.0.1").into()],
            services: vec![mk_service("web", &["10.96.0.1"]).into()],
            routes: routes.into_iter().map(Into::into).collect(),
            ..Contents::default()
        })
    }

    fn told(mesh: &Mesh, from: &str, url: &str) -> Result<String, Unaskable> {
        let verdict = mesh.test_route(from, &Method::GET, &url.parse().unwrap(), &HeaderMap::new());
        verdict.map(|verdict| verdict.to_string())
    }

    #[test]
    fn it_is_said_which_rule_decides_and_why() {
        let matched = mk_match(PathMatch::Prefix("/v2".into()));
        let route = Route {
            rules: vec![mk_written_rule("new", vec![matched])],
            ..mk_route("route")
        };
        let mesh = mk_mesh(vec![route]);
        assert_eq!(
            told(&mesh, "front", "http://web/v2/x").unwrap(),
            "default/web:80: the first rule that fits, the most specific first\n  route: HTTPRoute default/route\n  \
             rule: new\n  match: path below /v2\n  backend: default/web:80 weight 1"
        );
        for url in [
            "http://web.default/",
            "http://10.96.0.1/",
            "http://web.default.svc.cluster.local/",
        ] {
            let expected = "default/web:80: no rule fits of HTTPRoute default/route\n  status: 404";
            assert_eq!(told(&mesh, "default/front", url).unwrap(), expected, "{url}");
        }
        assert_eq!(mesh.route_views().len(), 1);
    }

    #[test]
    fn without_routes_the_service_serves_and_what_is_not_there_is_told() {
        let mesh = mk_mesh(Vec::new());
        assert_eq!(
            told(&mesh, "front", "http://web/").unwrap(),
            "default/web:80: no route decides there: the Service's own endpoints serve\n  backend: default/web:80"
        );
        assert_eq!(told(&mesh, "back", "http://web/"), Err(Unaskable::NoPod("back".into())));
        assert_eq!(
            told(&mesh, "front", "http://wbe/"),
            Err(Unaskable::NoService("wbe".into()))
        );
    }
}

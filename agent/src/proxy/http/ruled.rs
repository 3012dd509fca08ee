//! What a service's routes do to a request and to its response (GEP-1294; in the order of HTTPRoute's filters).

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{HOST, LOCATION, ORIGIN},
};

use super::{
    answer,
    ask::Plan,
    body::{RequestBody, ResponseBody},
    exchange::Exchange,
    mirror,
    session::Session,
};
use crate::{
    model::{Asked, Backend, Filters, Mesh, Preflight, Redirect, Rewrite, RouteKind, RouteRule},
    proxy::route::{Route, draw},
    telemetry::Denied,
};

/// A request whose rule was found.
#[derive(Debug)]
pub(super) struct Ruled {
    rule: Arc<RouteRule>,
    /// The backend that was drawn, or that of the session's endpoint.
    backend: Backend,
    /// The client's session, where the rule has any.
    session: Option<Session>,
    /// The endpoint with which that stays, where it is still one.
    stays: Option<SocketAddr>,
    /// Whose page asks.
    origin: Option<HeaderValue>,
}

/// Finds the rule for a request that goes to one of a service's endpoints; none where the service has no routes for this
/// client.
pub(super) fn rule<B>(
    request: &Request<B>,
    route: &Route,
    mesh: &Mesh,
    exchange: &Exchange,
) -> Result<Option<Ruled>, Denied> {
    let namespace = &exchange.conversation.arrival.door().pod.name.namespace;
    let routes = match route {
        Route::Exactly(_) => None,
        Route::OneOf { service, port, .. } => mesh.routes(service, *port, namespace),
    };
    // What began before there was a TLSRoute goes on; what begins after it is TLS, and no request.
    let Some(routes) = routes.filter(|routes| routes.kind() != RouteKind::TlsRoute) else {
        return Ok(None);
    };
    let chosen = routes.choose(request.method(), request.uri(), request.headers());
    let rule = chosen.ok_or(Denied::NoRoute)?;
    exchange.ruled(rule);
    let session = Session::of(rule, request.headers());
    let arrival = &exchange.conversation.arrival;
    // As with those that stay by their address: an endpoint in trouble delays no session.
    let endpoint = session
        .as_ref()
        .and_then(Session::endpoint)
        .filter(|endpoint| !arrival.door().troubles.recent().contains(endpoint));
    let destination = arrival.destination.0;
    let of_session = endpoint.and_then(|endpoint| backend_with(endpoint, rule, destination, mesh));
    Ok(Some(Ruled {
        rule: rule.clone(),
        backend: of_session.unwrap_or_else(|| draw(rule)).clone(),
        session,
        stays: endpoint.filter(|_| of_session.is_some()),
        origin: request.headers().get(ORIGIN).cloned(),
    }))
}

// === impl Ruled ===

impl Ruled {
    /// How long the request may take, from its head to its response's end (GEP-1742).
    pub(super) fn limit(&self) -> Option<Duration> {
        given(self.rule.timeouts.request)
    }

    /// How it is sent.
    pub(super) fn plan(&self) -> Plan<'_> {
        Plan {
            attempt: given(self.rule.timeouts.backend_request),
            retry: self.rule.retry.as_ref(),
            first: self.stays,
        }
    }

    /// The response of the agent's own, where the rule asks for one.
    pub(super) fn answer<B>(&self, request: &Request<B>, exchange: &Rc<Exchange>) -> Option<Response<ResponseBody>> {
        self.each_filters().find_map(|filters| {
            let cors = filters.cors.as_ref();
            match cors.and_then(|cors| cors.preflight(request.method(), request.headers())) {
                Some(preflight) => Some(answer_preflight(preflight, exchange)),
                None => {
                    let redirect = filters.redirect.as_ref()?;
                    Some(answer_redirect(redirect, request, exchange))
                }
            }
        })
    }

    /// Where the request may go: to the endpoints of its backend.
    pub(super) fn route(&self, mesh: &Mesh, exchange: &Exchange) -> Result<Route, Denied> {
        Route::of_backend(
            &self.backend,
            &self.rule,
            exchange.conversation.arrival.destination.0,
            mesh,
        )
    }

    /// Changes the request and has copies of it sent: what the rule does to all, then what the backend's own filters do.
    pub(super) fn change(&self, request: &mut Request<RequestBody>, exchange: &Rc<Exchange>) {
        if self.rule.retry.is_some() {
            request.body_mut().remember(exchange.conversation.arrival.door());
        }
        for filters in self.each_filters() {
            filters.request_headers.apply(request.headers_mut());
            if let Some(rewrite) = &filters.rewrite {
                apply(rewrite, request);
            }
            mirror::copy(&filters.mirrors, request, self.limit(), exchange);
        }
    }

    /// Changes the response.
    pub(super) fn change_response<B>(&self, response: &mut Response<B>) {
        for filters in self.each_filters() {
            filters.response_headers.apply(response.headers_mut());
            if let Some(cors) = &filters.cors {
                cors.permit(self.origin.as_ref(), response.headers_mut());
            }
        }
    }

    /// Tells the client with which endpoint its session stays.
    pub(super) fn keep_session(&self, endpoint: SocketAddr, headers: &mut HeaderMap) {
        if let Some(session) = &self.session {
            session.tell(endpoint, headers);
        }
    }

    fn each_filters(&self) -> impl Iterator<Item = &Filters> {
        let of_backend = match &self.backend {
            Backend::Resolved(backend) => Some(&backend.filters),
            Backend::Unresolved(_) => None,
        };
        [&self.rule.filters].into_iter().chain(of_backend)
    }
}

/// The rule's backend that has this endpoint.
fn backend_with<'a>(
    endpoint: SocketAddr,
    rule: &'a RouteRule,
    destination: SocketAddr,
    mesh: &Mesh,
) -> Option<&'a Backend> {
    let backends = rule.backends().map(|(_, backend)| backend);
    let mut resolved = backends.filter(|backend| matches!(backend, Backend::Resolved(_)));
    resolved.find(|backend| {
        let route = Route::of_backend(backend, rule, destination, mesh);
        route.is_ok_and(|route| route.leads_to(endpoint))
    })
}

/// A limit of zero is none.
fn given(limit: Option<Duration>) -> Option<Duration> {
    limit.filter(|limit| !limit.is_zero())
}

fn apply<B>(rewrite: &Rewrite, request: &mut Request<B>) {
    if let Some(host) = rewrite.host_header() {
        request.headers_mut().insert(HOST, host);
    }
    if let Some(target) = rewrite.target(request.uri()) {
        *request.uri_mut() = Uri::from(target);
    }
}

fn answer_preflight(Preflight(headers): Preflight, exchange: &Rc<Exchange>) -> Response<ResponseBody> {
    let mut response = answer::empty(StatusCode::NO_CONTENT, exchange);
    response.headers_mut().extend(headers);
    response
}

fn answer_redirect<B>(redirect: &Redirect, request: &Request<B>, exchange: &Rc<Exchange>) -> Response<ResponseBody> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let location = redirect.location(Asked {
        scheme: "http",
        host,
        port: exchange.conversation.arrival.destination.0.port(),
        uri: request.uri(),
    });
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    let mut response = answer::empty(status, exchange);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

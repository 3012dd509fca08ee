//! A request's way, in the order of its steps: check, identify, authorise, route, rule, balance, leg, forward, answer.

use std::{convert::Infallible, net::SocketAddr, pin::pin, rc::Rc};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE},
};
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{
    answer::{self, Dialect, refused_there},
    body::{RequestBody, ResponseBody},
    check::{Malformed, check},
    conversation::Conversation,
    exchange::Exchange,
    expect::{self, Gate},
    forwarded, hop,
    leg::{Leg, NotSent},
    ruled::{self, Ruled},
    upgrade::Upgrade,
    way::Way,
};
use crate::{
    proxy::{
        balance,
        detect::{HttpVersion, Protocol},
        outbound::{RETRIES, elsewhere},
        route::Route,
    },
    telemetry::{Denied, Peer},
};

/// Serves a request, from its head to its response's.
pub(super) async fn serve(
    conversation: Rc<Conversation>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let exchange = Exchange::new(&request, &conversation);
    let dialect = Dialect::of(request.headers());
    if let Err(malformed) = judge(&request, &conversation) {
        exchange.request(|report, _| report.detail = Some(malformed.label()));
        return Ok(answer::refuse(
            malformed.status(),
            Denied::BadRequest,
            dialect,
            &exchange,
        ));
    }
    let upgrade = hop::strip(request.headers_mut()).map(|protocol| Upgrade::new(protocol, &mut request));
    let served = forward(request, upgrade, &exchange).await;
    Ok(served.unwrap_or_else(|denied| answer::refuse(answer::status(denied), denied, dialect, &exchange)))
}

fn judge(request: &Request<Incoming>, conversation: &Conversation) -> Result<(), Malformed> {
    // Both lines stay in no map: the heads know.
    conversation.heads.judge()?;
    check(request)
}

async fn forward(
    request: Request<Incoming>,
    upgrade: Option<Upgrade>,
    exchange: &Rc<Exchange>,
) -> Result<Response<ResponseBody>, Denied> {
    let mut request = prepare(request, upgrade.as_ref(), exchange);
    let protocol = Protocol::Http(HttpVersion::One);
    let way = &exchange.conversation.way;
    let mut route = way.route(request.headers_mut(), protocol, exchange)?;
    let mesh = exchange.conversation.lane.shared.mesh();
    let ruled = match way {
        Way::Outbound(_) => ruled::rule(&request, &route, &mesh, exchange)?,
        // The client's agent has chosen.
        Way::Inbound(_) => None,
    };
    if let Some(ruled) = &ruled {
        if let Some(response) = ruled.answer(&request, exchange) {
            return Ok(response);
        }
        route = ruled.route(&mesh, exchange)?;
        ruled.change(&mut request);
    }
    let asking = pin!(ask(request, &route, exchange));
    let (mut response, leg) = match ruled.as_ref().and_then(Ruled::patience) {
        Some(limit) => timeout(limit, asking)
            .await
            .map_err(|_elapsed| Denied::UpstreamTimeout)??,
        None => asking.await?,
    };
    if let Some(ruled) = &ruled {
        ruled.change_response(&mut response);
    }
    finish(response, leg, upgrade, exchange)
}

/// Sends the request to an endpoint and waits for its response's head.
async fn ask(
    mut request: Request<RequestBody>,
    route: &Route,
    exchange: &Rc<Exchange>,
) -> Result<(Response<Incoming>, Leg), Denied> {
    let mut stale = 0;
    loop {
        let mut leg = find(route, request.headers_mut(), exchange).await?;
        let reused = leg.reused;
        let again = reused.then(|| repeatable(&request, exchange)).flatten();
        request = match send(request, &mut leg, exchange).await? {
            Ok(response) => return Ok((response, leg)),
            // The connection was over before it was used: as often as one waits, then for new ones.
            Err(NotSent::Whole(request)) if reused || stale < MOST_STALE => *request,
            Err(NotSent::Whole(_)) => return Err(Denied::UpstreamReset),
            Err(NotSent::Broken(error)) => again.filter(|_| has_ended(&error)).ok_or_else(|| failed(&error))?,
        };
        stale += usize::from(!reused);
        exchange.leave_endpoint();
    }
}

/// Picks an endpoint and takes a leg to it, or to another one where that might do better.
async fn find(route: &Route, headers: &mut HeaderMap, exchange: &Rc<Exchange>) -> Result<Leg, Denied> {
    let conversation = &exchange.conversation;
    let (arrival, loads) = (&conversation.arrival, &conversation.lane.shared.loads);
    let mut pinned = conversation.pinned_address();
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    loop {
        // After a failure nobody else being left is no news; the failure is.
        let picked = match pinned.take() {
            Some(address) => balance::pick(&Route::Exactly(address), arrival, &[], loads),
            None => balance::pick(route, arrival, &tried, loads),
        };
        let picked = picked.map_err(|none| failure.unwrap_or(none))?;
        let address = picked.address;
        exchange.picked(peer(address, exchange));
        exchange.goes_to(picked);
        let reaching = pin!(conversation.way.leg(address, route, headers, exchange));
        match exchange.unless_cut(reaching).await {
            Ok(leg) => return Ok(leg),
            Err(denied) if tried.len() < RETRIES && elsewhere(denied) => {
                exchange.leave_endpoint();
                tried.push(address);
                failure = Some(denied);
            }
            Err(denied) => return Err(denied),
        }
    }
}

/// Sends a request and waits for its response's head.
async fn send(
    request: Request<RequestBody>,
    leg: &mut Leg,
    exchange: &Exchange,
) -> Result<Result<Response<Incoming>, NotSent>, Denied> {
    let sending = pin!(async { Ok(leg.send(request, exchange.rc_live()).await) });
    exchange.unless_cut(sending).await
}

/// Whether a connection has ended without a word of the response.
fn has_ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

/// Makes the upstream's request of the client's.
fn prepare(request: Request<Incoming>, upgrade: Option<&Upgrade>, exchange: &Rc<Exchange>) -> Request<RequestBody> {
    let (mut parts, body) = request.into_parts();
    let headers = &mut parts.headers;
    let id = forwarded::request_id(headers);
    exchange.request(|report, _| report.id = Some(id));
    exchange.conversation.pin_if_bound(headers.get(AUTHORIZATION));
    // A client of HTTP/1.0 may name no host; one that names it in a URI means that (RFC 9112, 3.2.2).
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let named = authority
        .or_else(|| (!headers.contains_key(HOST)).then(|| exchange.conversation.arrival.destination.0.to_string()));
    if let Some(host) = named.and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(HOST, host);
    }
    if parts.uri.scheme().is_some() {
        parts.uri = parts
            .uri
            .path_and_query()
            .map_or_else(|| http::Uri::from_static("/"), |path| http::Uri::from(path.clone()));
    }
    // A length that is not told is told in chunks, whatever the method.
    if !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(upgrade) = upgrade {
        upgrade.ask(headers);
    }
    parts.version = Version::HTTP_11;
    let gate = Gate::of(headers);
    let mut request = Request::from_parts(parts, ());
    expect::listen(
        &mut request,
        gate.as_ref(),
        &exchange.conversation.lane.shared.telemetry,
    );
    request.map(|()| RequestBody::new(body, gate, exchange.clone()))
}

/// A request that may be sent twice: it asks for no change, and has no body (RFC 9110, 9.2.2).
fn repeatable(request: &Request<RequestBody>, exchange: &Rc<Exchange>) -> Option<Request<RequestBody>> {
    let safe = request.method().is_idempotent() && request.body().is_end_stream();
    safe.then(|| {
        let mut again = Request::new(RequestBody::none(exchange.clone()));
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.version_mut() = request.version();
        *again.headers_mut() = request.headers().clone();
        *again.extensions_mut() = request.extensions().clone();
        again
    })
}

/// Makes the client's response of the upstream's.
fn finish(
    response: Response<Incoming>,
    leg: Leg,
    upgrade: Option<Upgrade>,
    exchange: &Rc<Exchange>,
) -> Result<Response<ResponseBody>, Denied> {
    let conversation = &exchange.conversation;
    let mut response = response;
    if leg.line.peer.is_some()
        && let Some(denied) = refused_there(response.headers())
    {
        exchange.refused(denied);
    }
    let switched = hop::strip(response.headers_mut());
    hop::strip_own(response.headers_mut());
    conversation.pin_if_bound(response.headers().get(WWW_AUTHENTICATE));
    exchange.answered(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(upgrade), Some(protocol)) = (upgrade, switched) else {
            return Err(Denied::UpstreamProtocol);
        };
        return Ok(upgrade.done(protocol, response, leg, exchange));
    }
    conversation.way.clean(response.headers_mut());
    if conversation.is_closing() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|incoming| ResponseBody::upstream(incoming, leg, exchange.clone())))
}

/// Why a request got no response.
fn failed(error: &hyper::Error) -> Denied {
    tracing::debug!(error = error as &dyn std::error::Error, "A request got no response");
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() {
        Denied::UpstreamProtocol
    } else if error.is_user() {
        // Its own body has failed.
        Denied::ClientGone
    } else {
        Denied::UpstreamReset
    }
}

fn peer(address: SocketAddr, exchange: &Exchange) -> Peer {
    let lane = &exchange.conversation.lane;
    let mesh = lane.shared.mesh.borrow();
    let endpoint = mesh.endpoint_at(address);
    Peer {
        address,
        pod: endpoint.and_then(|it| it.pod.as_ref()).map(|(_, name)| name.clone()),
    }
}

/// How many connections in a row may be over before they are used.
const MOST_STALE: usize = 3;

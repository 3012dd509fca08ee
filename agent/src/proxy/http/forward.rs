//! A request's way, in the order of its steps: check, identify, authorise, route, rule, balance, leg, forward, answer.

use std::{convert::Infallible, rc::Rc};

use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, WWW_AUTHENTICATE},
};
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::{
    answer::{self, Dialect, refused_there},
    ask::{Answered, ask, before},
    body::{RequestBody, ResponseBody},
    check::{Malformed, check},
    conversation::Conversation,
    exchange::Exchange,
    expect::{self, Gate},
    forwarded, hop,
    leg::Leg,
    ruled::{self, Ruled},
    upgrade::Upgrade,
    way::Way,
};
use crate::{
    proxy::detect::{HttpVersion, Protocol},
    telemetry::Denied,
};

/// Serves a request, from its head to its response's.
pub(super) async fn serve(
    conversation: Rc<Conversation>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let exchange = Exchange::new(&request, &conversation);
    let dialect = Dialect::of(&request);
    if let Err(malformed) = judge(&request, &conversation) {
        exchange.request(|report, _| report.detail = Some(malformed.label()));
        return Ok(answer::refuse(
            malformed.status(),
            Denied::BadRequest,
            dialect,
            &exchange,
        ));
    }
    let asked = hop::strip(request.headers_mut());
    let upgrade = match conversation.version {
        HttpVersion::One => asked.map(|protocol| Upgrade::new(protocol, &mut request)),
        HttpVersion::Two => Upgrade::of_connect(&mut request),
    };
    let served = forward(request, upgrade, &exchange).await;
    Ok(served.unwrap_or_else(|denied| answer::refuse(answer::status(denied), denied, dialect, &exchange)))
}

fn judge(request: &Request<Incoming>, conversation: &Conversation) -> Result<(), Malformed> {
    match conversation.version {
        // Both lines stay in no map: the heads know.
        HttpVersion::One => conversation.heads.judge()?,
        HttpVersion::Two => {}
    }
    check(request, conversation.version)
}

async fn forward(
    request: Request<Incoming>,
    upgrade: Option<Upgrade>,
    exchange: &Rc<Exchange>,
) -> Result<Response<ResponseBody>, Denied> {
    let mut request = prepare(request, upgrade.as_ref(), exchange);
    let protocol = Protocol::Http(exchange.conversation.version);
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
        ruled.change(&mut request, exchange);
    }
    let limit = ruled.as_ref().and_then(Ruled::limit);
    let end = limit.map(|limit| Instant::now() + limit);
    let plan = ruled.as_ref().map(Ruled::plan).unwrap_or_default();
    let Answered {
        mut response,
        leg,
        end: end_of_attempt,
    } = before(end, ask(request, &route, plan, exchange)).await?;
    if let Some(ruled) = &ruled {
        ruled.change_response(&mut response);
    }
    if let Some(end) = end.into_iter().chain(end_of_attempt).min() {
        exchange.ends_at(end);
    }
    let endpoint = leg.key.address;
    let mut response = finish(response, leg, upgrade, exchange)?;
    if let Some(ruled) = ruled.filter(|_| !exchange.is_refused()) {
        ruled.keep_session(endpoint, response.headers_mut());
    }
    Ok(response)
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
    let gate = match exchange.conversation.version {
        HttpVersion::One => {
            // A length that is not told is told in chunks, whatever the method.
            if !body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Gate::of(headers)
        }
        // The library tells of no upstream's word: nobody waits for it.
        HttpVersion::Two => {
            headers.remove(EXPECT);
            None
        }
    };
    if let Some(upgrade) = upgrade {
        upgrade.ask(headers);
    }
    parts.version = Version::HTTP_11;
    let mut request = Request::from_parts(parts, ());
    expect::listen(
        &mut request,
        gate.as_ref(),
        &exchange.conversation.lane.shared.telemetry,
    );
    request.map(|()| RequestBody::new(body, gate, exchange.clone()))
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
        // What follows is no response.
        exchange.ends_never();
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

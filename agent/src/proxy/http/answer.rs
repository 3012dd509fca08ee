//! The agent's own responses: why a request was refused, in the words of the record.

use std::rc::Rc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE},
};

use super::{body::ResponseBody, exchange::Exchange, way::Way};
use crate::telemetry::Denied;

/// How a refusal is told, by what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// In words.
    Http,
    /// As to a HEAD: without the words, which the library of HTTP/2 would send.
    HttpHead,
    Grpc,
}

/// Refuses a request.
pub(super) fn refuse(
    status: StatusCode,
    denied: Denied,
    dialect: Dialect,
    exchange: &Rc<Exchange>,
) -> Response<ResponseBody> {
    exchange.refused(denied);
    let label = denied.label();
    let words = format!("weft: {label}\n");
    let length = words.len();
    let (status, body) = match dialect {
        Dialect::Http => (status, Bytes::from(words)),
        Dialect::HttpHead => (status, Bytes::new()),
        // Trailers only: all is said in the head.
        Dialect::Grpc => (StatusCode::OK, Bytes::new()),
    };
    exchange.answered(status);
    let mut response = Response::new(ResponseBody::agent(body, exchange.clone()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match dialect {
        Dialect::Http => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        Dialect::HttpHead => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            headers.insert(CONTENT_LENGTH, length.into());
        }
        Dialect::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, grpc_status(denied));
            headers.insert(GRPC_MESSAGE, HeaderValue::from_static(label));
        }
    }
    headers.insert(REASON, HeaderValue::from_static(label));
    let conversation = &exchange.conversation;
    if let Way::Inbound(inbound) = &conversation.way
        && inbound.is_agent()
    {
        headers.insert(REASON_AMONG_AGENTS, HeaderValue::from_static(label));
    }
    if matches!(denied, Denied::BadRequest | Denied::RequestTimeout) || conversation.is_closing() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What a client is told that has not finished the head of a request: no exchange has begun.
pub(super) fn head_timeout() -> String {
    let (status, label) = (StatusCode::REQUEST_TIMEOUT, Denied::RequestTimeout.label());
    let words = format!("weft: {label}\n");
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{REASON}: {label}\r\n\r\n{words}",
        words.len()
    )
}

/// A response of the agent's own that is no refusal: its head says all.
pub(super) fn empty(status: StatusCode, exchange: &Rc<Exchange>) -> Response<ResponseBody> {
    exchange.answered(status);
    let mut response = Response::new(ResponseBody::agent(Bytes::new(), exchange.clone()));
    *response.status_mut() = status;
    if exchange.conversation.is_closing() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The status by which a refusal is told.
pub(super) fn status(denied: Denied) -> StatusCode {
    match denied {
        Denied::PolicyDenied
        | Denied::PlaintextRefused
        | Denied::EgressDenied
        | Denied::IdentityDenied
        | Denied::DirectCall
        | Denied::PathRefused => StatusCode::FORBIDDEN,
        Denied::BadRequest => StatusCode::BAD_REQUEST,
        // GEP-1294, and HTTPRoute's `backendRefs`.
        Denied::NoRoute => StatusCode::NOT_FOUND,
        Denied::BackendNotResolved => StatusCode::INTERNAL_SERVER_ERROR,
        Denied::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Denied::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Denied::UpstreamReset | Denied::UpstreamProtocol | Denied::ProtocolViolation => StatusCode::BAD_GATEWAY,
        Denied::NoSuchPort
        | Denied::NoEndpoint
        | Denied::PeerNotInMesh
        | Denied::NoCertificate
        | Denied::PeerNotVerified
        | Denied::TlsFailed
        | Denied::UpstreamRefused
        | Denied::UpstreamUnreachable
        | Denied::PodConnectionLimit
        | Denied::DescriptorLimit
        | Denied::BufferLimit
        | Denied::PortsExhausted
        | Denied::PodGone
        | Denied::Killed
        | Denied::Drained
        | Denied::ClientGone
        | Denied::AgentError => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What the agent at the other end has refused, where it has.
pub(super) fn refused_there(headers: &HeaderMap) -> Option<Denied> {
    Denied::of_label(headers.get(REASON_AMONG_AGENTS)?.to_str().ok()?)
}

// === impl Dialect ===

impl Dialect {
    /// That of a request.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        // `application/grpc`, `application/grpc+proto`; `application/grpc-web` is plain HTTP.
        match kind.strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => Self::Grpc,
            Some(_) | None if request.method() == Method::HEAD => Self::HttpHead,
            Some(_) | None => Self::Http,
        }
    }
}

/// gRPC's codes: UNAVAILABLE for what may be better the next time.
fn grpc_status(denied: Denied) -> HeaderValue {
    HeaderValue::from_static(match status(denied) {
        StatusCode::FORBIDDEN => "7",
        StatusCode::BAD_REQUEST => "13",
        StatusCode::NOT_FOUND => "12",
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => "4",
        _ => "14",
    })
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Tells a client why.
const REASON: HeaderName = HeaderName::from_static("x-weft-reason");
/// Tells the client's agent, which believes no application.
const REASON_AMONG_AGENTS: HeaderName = HeaderName::from_static("weft-reason");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type_and_its_web_kind_is_not_it() {
        for (kind, expected) in [
            ("application/grpc", Dialect::Grpc),
            ("application/grpc+proto", Dialect::Grpc),
            ("application/grpc;x=y", Dialect::Grpc),
            ("application/grpc-web", Dialect::Http),
            ("text/plain", Dialect::Http),
        ] {
            let request = Request::post("/").header(CONTENT_TYPE, kind).body(()).unwrap();
            assert_eq!(Dialect::of(&request), expected, "{kind}");
        }
        assert_eq!(Dialect::of(&Request::new(())), Dialect::Http);
        let head = Request::head("/").body(()).unwrap();
        assert_eq!(Dialect::of(&head), Dialect::HttpHead);
    }

    #[test]
    fn a_refusal_of_another_agent_is_known_by_its_label_only() {
        let told = |label| HeaderMap::from_iter([(REASON_AMONG_AGENTS, HeaderValue::from_static(label))]);
        assert_eq!(refused_there(&told("policy_denied")), Some(Denied::PolicyDenied));
        assert_eq!(refused_there(&told("of a later version")), None);
        assert_eq!(refused_there(&HeaderMap::new()), None);
    }
}

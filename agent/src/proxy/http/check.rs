//! What a request may look like: what is malformed or ambiguous is refused, and never repaired.

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::Authority,
};
use hyper::ext::Protocol;

use crate::proxy::detect::HttpVersion;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It names no host, though its version asks for one.
    NoHost,
    /// It names several hosts.
    SeveralHosts,
    /// Its host is none.
    BadHost,
    /// Its body has several lengths.
    SeveralLengths,
    /// Its body has a length and an encoding.
    LengthAndEncoding,
    /// Its body is encoded in another way than in chunks.
    OddEncoding,
    /// Its target has not the form that goes with its method.
    BadTarget,
    /// It asks for a tunnel.
    Tunnel,
}

/// Checks a request; of one of HTTP/1 the lengths were judged by their lines. What in HTTP/2 concerns the connection, and
/// bodies of another length than is told, its library refuses (RFC 9113, 8.2.2 and 8.1.1).
pub(super) fn check<B>(request: &Request<B>, version: HttpVersion) -> Result<(), Malformed> {
    target(request)?;
    match version {
        HttpVersion::One => {
            host(request.headers(), request.version())?;
            encoding(request.headers())
        }
        HttpVersion::Two => {
            authority(request)?;
            one_length(request.headers())
        }
    }
}

// === impl Malformed ===

impl Malformed {
    /// As records and responses show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoHost => "no_host",
            Self::SeveralHosts => "several_hosts",
            Self::BadHost => "bad_host",
            Self::SeveralLengths => "several_lengths",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::OddEncoding => "odd_encoding",
            Self::BadTarget => "bad_target",
            Self::Tunnel => "tunnel",
        }
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoHost
            | Self::SeveralHosts
            | Self::BadHost
            | Self::SeveralLengths
            | Self::LengthAndEncoding
            | Self::OddEncoding
            | Self::BadTarget => StatusCode::BAD_REQUEST,
        }
    }
}

/// RFC 9112, 3.2: a path, a URI, or an asterisk for OPTIONS.
fn target<B>(request: &Request<B>) -> Result<(), Malformed> {
    let uri = request.uri();
    // With a protocol it asks for no tunnel, but for an upgrade (RFC 8441, 4): its target is a request's.
    if request.method() == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
        return Err(Malformed::Tunnel);
    }
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (None, None, "*") if request.method() == Method::OPTIONS => Ok(()),
        (None, None, path) if path.starts_with('/') => Ok(()),
        (Some("http" | "https"), Some(_), "*") if request.method() == Method::OPTIONS => Ok(()),
        (Some("http" | "https"), Some(_), path) if path.is_empty() || path.starts_with('/') => Ok(()),
        _ => Err(Malformed::BadTarget),
    }
}

/// RFC 9112, 3.2: exactly one in HTTP/1.1, at most one in HTTP/1.0.
fn host(headers: &HeaderMap, version: Version) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (None, _) => Err(Malformed::NoHost),
        (Some(_), Some(_)) => Err(Malformed::SeveralHosts),
        (Some(host), None) if is_host(host) => Ok(()),
        (Some(_), None) => Err(Malformed::BadHost),
    }
}

/// RFC 9113, 8.3.1: an authority, or a host in its place; both are the same.
fn authority<B>(request: &Request<B>) -> Result<(), Malformed> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (request.uri().authority(), hosts.next(), hosts.next()) {
        (_, Some(_), Some(_)) => Err(Malformed::SeveralHosts),
        (None, None, _) => Err(Malformed::NoHost),
        (Some(authority), _, _) if authority.as_str().contains('@') => Err(Malformed::BadHost),
        (Some(authority), Some(host), None) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            Err(Malformed::SeveralHosts)
        }
        (None, Some(host), None) if !is_host(host) => Err(Malformed::BadHost),
        (Some(_), None, _) | (_, Some(_), None) => Ok(()),
    }
}

/// A body has one length.
fn one_length(headers: &HeaderMap) -> Result<(), Malformed> {
    match headers.get_all(CONTENT_LENGTH).iter().count() {
        0 | 1 => Ok(()),
        _ => Err(Malformed::SeveralLengths),
    }
}

/// A host with or without a port, or nothing, where the client's URI has no authority.
fn is_host(host: &HeaderValue) -> bool {
    host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'))
}

/// Chunks are the only encoding that all know, and the last one that a length can be told by.
fn encoding(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(encoding), None) if encoding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Malformed::OddEncoding),
    }
}

#[cfg(test)]
mod tests;

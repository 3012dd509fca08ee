//! What of the HTTP proxy reads and writes text of peers, without a connection: for the fuzzer.

use http::{HeaderMap, HeaderValue, Request};

pub use super::check::Malformed;
use super::{check, forwarded, heads::Heads, hop, session::Token, told};
use crate::{
    model::Identity,
    proxy::{detect::HttpVersion, wire::Header},
    tls::Fingerprint,
};

/// Judges a request of HTTP/1 whose head came in these pieces.
pub fn judge<B>(head: &[&[u8]], request: &Request<B>) -> Result<(), Malformed> {
    let heads = Heads::default();
    head.iter().for_each(|piece| heads.hear(piece));
    heads.judge()?;
    check::check(request, HttpVersion::One)
}

/// Judges a request of HTTP/2.
pub fn judge_two<B>(request: &Request<B>) -> Result<(), Malformed> {
    check::check(request, HttpVersion::Two)
}

/// Whether another head has begun behind the first.
pub fn goes_on(bytes: &[u8]) -> bool {
    let heads = Heads::default();
    heads.hear(bytes);
    // Whatever becomes of the first.
    let _ = heads.judge();
    heads.begun()
}

/// Takes away what concerns one connection or agents only, and gives back the protocol to which an upgrade is asked for.
pub fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let upgrade = hop::strip(headers);
    hop::strip_own(headers);
    upgrade
}

/// What one agent tells another of its client.
pub fn tell(header: &Header) -> Option<HeaderValue> {
    told::tell(header)
}

/// What another agent has told.
pub fn told(value: &HeaderValue) -> Option<Header> {
    told::read(value)
}

/// The token of a session as the agent writes it, where it is one.
pub fn session(text: &str) -> Option<String> {
    Token::read(text).map(Token::write)
}

/// X-Forwarded-Client-Cert.
pub fn client(identity: &Identity, certificate: Option<Fingerprint>, by: &Identity) -> Option<HeaderValue> {
    forwarded::client(identity, certificate, by)
}

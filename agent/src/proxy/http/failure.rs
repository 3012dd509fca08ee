//! What the library's errors say of a connection that has failed.

use std::error::Error as _;

use crate::{proxy::detect::HttpVersion, telemetry::Denied};

/// Whether a connection has ended without a word of the response.
pub(super) fn has_ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || was_not_looked_at(error)
}

/// Whether an upstream of HTTP/2 says that it has not looked at the request (RFC 9113, 8.7).
fn was_not_looked_at(error: &hyper::Error) -> bool {
    let Some(error) = of_http2(error) else { return false };
    let reason = error.reason();
    reason == Some(h2::Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
}

/// Why a request got no response.
pub(super) fn no_response(error: &hyper::Error) -> Denied {
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

/// Why a client's connection of this version ended that did not end well: for what the client did, or it has gone.
pub(super) fn of_client(version: HttpVersion, error: &hyper::Error) -> Denied {
    let is_malformed = match version {
        HttpVersion::One => error.is_parse() || error.is_parse_too_large(),
        HttpVersion::Two => of_http2(error).is_some_and(h2::Error::is_library),
    };
    if is_malformed {
        Denied::BadRequest
    } else if error.is_timeout() {
        Denied::RequestTimeout
    } else {
        // It broke off, or what it was sent did.
        Denied::ClientGone
    }
}

/// What the library of HTTP/2 says, where it is its word.
fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

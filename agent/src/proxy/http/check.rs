//! What a request may look like: what is malformed or ambiguous is refused, and never repaired.

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Version,
    header::{HOST, TRANSFER_ENCODING},
    uri::Authority,
};

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

/// Checks a request of HTTP/1 whose lengths were judged by their lines.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Malformed> {
    target(request)?;
    host(request.headers(), request.version())?;
    encoding(request.headers())
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
    if request.method() == Method::CONNECT {
        return Err(Malformed::Tunnel);
    }
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (None, None, "*") if request.method() == Method::OPTIONS => Ok(()),
        (None, None, path) if path.starts_with('/') => Ok(()),
        (Some("http" | "https"), Some(_), _) => Ok(()),
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
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_well_formed_pass_and_others_do_not() {
        const HOST: (&str, &str) = ("host", "shop.example:8080");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        type Row = (
            &'static str,
            &'static str,
            &'static [(&'static str, &'static str)],
            Result<(), Malformed>,
        );
        let table: [Row; 22] = [
            ("GET", "/a?b", &[HOST], Ok(())),
            ("OPTIONS", "*", &[HOST], Ok(())),
            ("GET", "http://shop.example/a", &[HOST], Ok(())),
            ("GET", "/", &[("host", "")], Ok(())),
            ("GET", "/", &[("host", "[fd00::1]:80")], Ok(())),
            ("PURGE", "/", &[HOST], Ok(())),
            ("POST", "/", &[HOST, CHUNKED], Ok(())),
            ("POST", "/", &[HOST, ("transfer-encoding", "Chunked")], Ok(())),
            ("GET", "/", &[], Err(Malformed::NoHost)),
            ("GET", "http://shop.example/", &[], Err(Malformed::NoHost)),
            ("GET", "/", &[HOST, HOST], Err(Malformed::SeveralHosts)),
            ("GET", "/", &[("host", "a b")], Err(Malformed::BadHost)),
            ("GET", "/", &[("host", "user@shop")], Err(Malformed::BadHost)),
            ("GET", "/", &[("host", "a/b")], Err(Malformed::BadHost)),
            ("GET", "*", &[HOST], Err(Malformed::BadTarget)),
            ("GET", "shop.example:80", &[HOST], Err(Malformed::BadTarget)),
            ("GET", "ftp://shop.example/", &[HOST], Err(Malformed::BadTarget)),
            ("CONNECT", "shop.example:80", &[HOST], Err(Malformed::Tunnel)),
            ("POST", "/", &[HOST, CHUNKED, CHUNKED], Err(Malformed::OddEncoding)),
            (
                "POST",
                "/",
                &[HOST, ("transfer-encoding", "gzip, chunked")],
                Err(Malformed::OddEncoding),
            ),
            (
                "POST",
                "/",
                &[HOST, ("transfer-encoding", "chunked, chunked")],
                Err(Malformed::OddEncoding),
            ),
            (
                "POST",
                "/",
                &[HOST, ("transfer-encoding", "identity")],
                Err(Malformed::OddEncoding),
            ),
        ];
        for (method, target, headers, expected) in table {
            let request = headers
                .iter()
                .fold(
                    Request::builder().method(method).uri(target),
                    |request, (name, value)| request.header(*name, *value),
                )
                .body(())
                .unwrap();
            assert_eq!(check(&request), expected, "{method} {target} {headers:?}");
        }
    }

    #[test]
    fn only_the_old_version_may_name_no_host() {
        for (version, expected) in [(Version::HTTP_10, Ok(())), (Version::HTTP_11, Err(Malformed::NoHost))] {
            let request = Request::builder().uri("/").version(version).body(()).unwrap();
            assert_eq!(check(&request), expected, "{version:?}");
        }
    }
}

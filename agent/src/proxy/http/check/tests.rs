//! Requests that pass, and those that do not.

use super::*;

/// Method, target and headers of a request, and what is judged of it.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    Result<(), Malformed>,
);

/// Has each request judged as one of such a version.
fn judge(version: HttpVersion, table: &[Row]) {
    for (method, target, headers, expected) in table {
        let request = Request::builder().method(*method).uri(*target);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let judged = check(&request.body(()).unwrap(), version);
        assert_eq!(judged, *expected, "{method} {target} {headers:?}");
    }
}

#[test]
fn requests_that_are_well_formed_pass_and_others_do_not() {
    const HOST: (&str, &str) = ("host", "shop.example:8080");
    const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
    let table: &[Row] = &[
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
    judge(HttpVersion::One, table);
}

#[test]
fn only_the_old_version_may_name_no_host() {
    for (version, expected) in [(Version::HTTP_10, Ok(())), (Version::HTTP_11, Err(Malformed::NoHost))] {
        let request = Request::builder().uri("/").version(version).body(()).unwrap();
        assert_eq!(check(&request, HttpVersion::One), expected, "{version:?}");
    }
}

#[test]
fn a_request_for_another_protocol_has_a_requests_target() {
    for (target, expected) in [
        ("http://shop.example/chat", Ok(())),
        ("shop.example:80", Err(Malformed::BadTarget)),
    ] {
        let mut request = Request::connect(target).body(()).unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        assert_eq!(check(&request, HttpVersion::Two), expected, "{target}");
    }
}

#[test]
fn a_request_of_http_2_has_one_authority_one_length_and_a_path() {
    const URI: &str = "http://shop.example/a";
    let table: &[Row] = &[
        ("GET", URI, &[], Ok(())),
        ("GET", URI, &[("host", "Shop.example")], Ok(())),
        ("GET", "/a", &[("host", "shop.example")], Ok(())),
        ("OPTIONS", "*", &[("host", "shop.example")], Ok(())),
        ("POST", URI, &[("content-length", "3")], Ok(())),
        ("GET", URI, &[("host", "other.example")], Err(Malformed::SeveralHosts)),
        (
            "GET",
            URI,
            &[("host", "shop.example"), ("host", "shop.example")],
            Err(Malformed::SeveralHosts),
        ),
        ("GET", "/a", &[], Err(Malformed::NoHost)),
        ("GET", "/a", &[("host", "a b")], Err(Malformed::BadHost)),
        ("GET", "http://user@shop.example/a", &[], Err(Malformed::BadHost)),
        (
            "POST",
            URI,
            &[("content-length", "3"), ("content-length", "3")],
            Err(Malformed::SeveralLengths),
        ),
        ("CONNECT", "shop.example:80", &[], Err(Malformed::Tunnel)),
    ];
    judge(HttpVersion::Two, table);
}

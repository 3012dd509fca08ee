//! Heads of requests as HTTP's library parses them: what could be read as two requests, or by two rules, is refused.

use agent::proxy::bytes::{goes_on, judge, judge_two};
use http::{Request, Version, header};

use crate::pieces::Pieces;

pub(crate) fn check(bytes: &[u8]) {
    // What is longer is refused unseen.
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(end)) = parsed.parse(bytes) else {
        return;
    };
    let Some(request) = request(&parsed) else { return };
    check_two(&request);
    let judged = judge(&[&bytes[..end]], &request);
    let pieces: Vec<_> = Pieces::of(&bytes[..end]).collect();
    assert_eq!(judge(&pieces, &request), judged, "in pieces");
    assert_eq!(judge(&[bytes], &request), judged, "with what follows");
    let begun = bytes[end..].iter().any(|byte| !b"\r\n".contains(byte));
    assert_eq!(goes_on(bytes), begun, "the head ends elsewhere");
    if let Err(malformed) = judged {
        return assert!(malformed.status().is_client_error() && !malformed.label().is_empty());
    }
    let all = |name| {
        parsed
            .headers
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
    };
    let (lengths, encodings) = (all("content-length").count(), all("transfer-encoding").count());
    assert!(lengths + encodings <= 1, "{lengths} lengths and {encodings} encodings");
    assert!(all("transfer-encoding").all(|field| field.value.eq_ignore_ascii_case(b"chunked")));
    assert!(all("host").count() <= 1);
    assert!(request.version() == Version::HTTP_10 || all("host").count() == 1);
    assert!(all("host").all(|field| !field.value.contains(&b'@')));
    assert_ne!(request.method(), "CONNECT");
}

/// As if its fields had come by HTTP/2.
fn check_two(request: &Request<()>) {
    if let Err(malformed) = judge_two(request) {
        return assert!(malformed.status().is_client_error() && !malformed.label().is_empty());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (authority, host) = (request.uri().authority(), hosts.next());
    assert!(authority.is_some() || host.is_some());
    assert!(authority.is_none_or(|authority| !authority.as_str().contains('@')));
    if let (Some(authority), Some(host)) = (authority, host) {
        assert!(authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    }
    assert!(hosts.next().is_none());
    assert!(request.headers().get_all(header::CONTENT_LENGTH).iter().count() <= 1);
    assert_ne!(request.method(), "CONNECT");
}

fn request(parsed: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    let mut request = Request::builder()
        .method(parsed.method?)
        .uri(parsed.path?)
        .version(match parsed.version? {
            0 => Version::HTTP_10,
            _ => Version::HTTP_11,
        });
    for field in parsed.headers.iter() {
        // As in the library: of a body that is told by chunks no length is kept.
        let chunked = parsed
            .headers
            .iter()
            .any(|other| other.name.eq_ignore_ascii_case("transfer-encoding"));
        if !(chunked && field.name.eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str())) {
            request = request.header(field.name, field.value);
        }
    }
    request.body(()).ok()
}

const LONGEST: usize = 64 * 1024;

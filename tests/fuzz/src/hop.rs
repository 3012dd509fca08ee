//! Headers of one connection: none is left, whatever names it, and no client can name away what the next hop needs.

use agent::proxy::bytes::strip;
use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(crate) fn check(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.strip_prefix(b":").unwrap_or(value).trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let before = headers.clone();
    let upgrade = strip(&mut headers);
    assert!(upgrade.is_none() || upgrade.as_ref() == before.get(header::UPGRADE));
    for name in headers.keys() {
        assert!(!name.as_str().starts_with("weft-"), "{name}");
    }
    for gone in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert!(headers.get(header::TE).is_none_or(|te| te == "trailers"));
    for kept in [header::HOST, header::CONTENT_LENGTH] {
        assert!(headers.get_all(&kept).iter().eq(before.get_all(&kept).iter()), "{kept}");
    }
    let once = headers.clone();
    assert_eq!(strip(&mut headers), None);
    assert_eq!(headers, once, "nothing is left to take");
}

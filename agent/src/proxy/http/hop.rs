//! Headers that concern one connection only (RFC 9110, 7.6.1), and those of agents among themselves.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::model::OWN_HEADERS;

/// Takes away what concerns the connection only, and gives back the protocol to which an upgrade is asked for or done.
pub(super) fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let upgrade = take_connection(headers);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(&KEEP_ALIVE);
    headers.remove(&PROXY_CONNECTION);
    // Whether trailers are understood is the other end's business; all else of it is ours.
    if let Some(te) = headers.remove(TE)
        && names(&te).any(|name| name.eq_ignore_ascii_case("trailers"))
    {
        headers.insert(TE, TRAILERS);
    }
    upgrade
}

/// Takes away what only agents say among themselves: no application sees it, and none is believed.
pub(super) fn strip_own(headers: &mut HeaderMap) {
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(OWN_HEADERS))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

/// Asks for an upgrade, or tells of one.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Takes the Connection header and all that it names; what decides of framing and routing can not be named.
fn take_connection(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let upgrade = headers.remove(UPGRADE);
    if !headers.contains_key(CONNECTION) {
        return None;
    }
    let connection: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.remove(CONNECTION);
    let mut upgrades = false;
    for name in connection.iter().flat_map(names) {
        if name.eq_ignore_ascii_case("upgrade") {
            upgrades = true;
        }
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TE, PROXY_AUTHENTICATE].contains(&name) => {}
            Ok(name) => {
                headers.remove(name);
            }
            // No header has such a name.
            Err(_) => {}
        }
    }
    upgrade.filter(|_| upgrades)
}

/// The members of a list.
fn names(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn what_concerns_the_connection_only_goes_and_all_else_stays() {
        let mut all = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("weft-stream", "forged"),
            ("host", "shop"),
            ("x-end", "1"),
            ("trailer", "checksum"),
        ]);
        assert_eq!(strip(&mut all), None);
        strip_own(&mut all);
        assert_eq!(
            all,
            headers(&[("host", "shop"), ("x-end", "1"), ("trailer", "checksum")])
        );
    }

    #[test]
    fn an_upgrade_is_one_only_where_the_connection_names_it() {
        let mut asked = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(strip(&mut asked), Some(HeaderValue::from_static("websocket")));
        assert!(asked.is_empty());
        for not_asked in [
            headers(&[("upgrade", "h2c")]),
            headers(&[("connection", "keep-alive"), ("upgrade", "h2c")]),
        ] {
            let mut not_asked = not_asked;
            assert_eq!(strip(&mut not_asked), None);
            assert!(not_asked.is_empty());
        }
    }

    #[test]
    fn framing_and_host_cannot_be_named_away_and_trailers_are_still_asked_for() {
        let mut all = headers(&[
            ("connection", "host, content-length, te"),
            ("host", "shop"),
            ("content-length", "3"),
            ("te", "trailers, deflate"),
        ]);
        strip(&mut all);
        let expected = headers(&[("host", "shop"), ("content-length", "3"), ("te", "trailers")]);
        assert_eq!(all, expected);
    }
}

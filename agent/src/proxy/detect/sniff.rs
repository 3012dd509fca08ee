//! What the first bytes of a client are: pure, and of a client's bytes.

use super::HttpVersion;

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// More is needed.
    Unclear,
    /// Not HTTP: TLS, or anything else.
    Opaque,
    /// HTTP of this version.
    Http(HttpVersion),
}

/// Tells HTTP from anything else as early as the bytes allow: a method and the beginning of a target, or the preface of
/// HTTP/2. A method alone is a command of other protocols too.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    if bytes.starts_with(PREFACE) {
        return Sniffed::Http(HttpVersion::Two);
    }
    let mut unclear = PREFACE.starts_with(bytes);
    for method in METHODS {
        let common = method.len().min(bytes.len());
        if bytes[..common] != method.as_bytes()[..common] {
            continue;
        }
        match (bytes.get(method.len()), bytes.get(method.len() + 1)) {
            (None | Some(b' '), None) => unclear = true,
            (Some(b' '), Some(first)) if may_begin_target(*first, method) => return Sniffed::Http(HttpVersion::One),
            (Some(_) | None, _) => {}
        }
    }
    if unclear { Sniffed::Unclear } else { Sniffed::Opaque }
}

/// The version of what must be HTTP; none where more is needed.
pub fn version(bytes: &[u8]) -> Option<HttpVersion> {
    if bytes.starts_with(PREFACE) {
        Some(HttpVersion::Two)
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        Some(HttpVersion::One)
    }
}

/// A path, an asterisk, or a URI (RFC 9112, 3.2); CONNECT has an authority.
fn may_begin_target(first: u8, method: &str) -> bool {
    matches!(first, b'/' | b'*' | b'h' | b'H') || (method == "CONNECT" && first.is_ascii_alphanumeric())
}

/// RFC 9110, 9.1, and PATCH: a client of a port of which nothing is declared uses no others.
const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT",
];
/// The line with which a client says that it speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// No more bytes than this are needed.
pub const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Sniffed = Sniffed::Http(HttpVersion::One);
    const TWO: Sniffed = Sniffed::Http(HttpVersion::Two);

    #[test]
    fn first_bytes_are_told_as_early_as_they_can_be() {
        let table: [(&[u8], Sniffed); 27] = [
            (b"", Sniffed::Unclear),
            (b"G", Sniffed::Unclear),
            (b"GET", Sniffed::Unclear),
            (b"GET ", Sniffed::Unclear),
            (b"GET /", ONE),
            (b"GET / HTTP/1.1\r\n", ONE),
            (b"GET http://a/ HTTP/1.1", ONE),
            (b"OPTIONS *", ONE),
            (b"CONNECT a:1", ONE),
            (b"PATCH /x", ONE),
            (b"P", Sniffed::Unclear),
            (b"PR", Sniffed::Unclear),
            (b"PRI * HTTP/2.0\r", Sniffed::Unclear),
            (b"PRI * HTTP/2.0\r\n", TWO),
            (b"PRI * HTTP/1", Sniffed::Opaque),
            // Commands of other protocols: of Redis inline, of SMTP and FTP, of memcached.
            (b"GET key\r\n", Sniffed::Opaque),
            (b"get /", Sniffed::Opaque),
            (b"GETX", Sniffed::Opaque),
            (b"GET\r\n", Sniffed::Opaque),
            (b"HELO a", Sniffed::Opaque),
            (b"PUT\t/", Sniffed::Opaque),
            // Of no standard.
            (b"PURGE /", Sniffed::Opaque),
            (b"\r\nGET /", Sniffed::Opaque),
            // TLS, SSH, a zero.
            (b"\x16\x03\x01", Sniffed::Opaque),
            (b"SSH-2.0", Sniffed::Opaque),
            (b"\0", Sniffed::Opaque),
            (b" GET /", Sniffed::Opaque),
        ];
        for (bytes, expected) in table {
            assert_eq!(sniff(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_beginning_of_what_is_http_is_unclear_and_never_opaque() {
        for whole in [&b"GET /"[..], b"DELETE *", b"CONNECT host:1", PREFACE] {
            for length in 0..whole.len() {
                assert_ne!(
                    sniff(&whole[..length]),
                    Sniffed::Opaque,
                    "{}",
                    whole[..length].escape_ascii()
                );
            }
            assert!(matches!(sniff(whole), Sniffed::Http(_)), "{}", whole.escape_ascii());
        }
    }

    #[test]
    fn of_what_must_be_http_only_the_preface_is_the_second_version() {
        assert_eq!(version(b""), None);
        assert_eq!(version(b"PR"), None);
        assert_eq!(version(b"PROPFIND /"), Some(HttpVersion::One));
        assert_eq!(version(b"\x16\x03\x01"), Some(HttpVersion::One), "for HTTP/1 to refuse");
        assert_eq!(version(PREFACE), Some(HttpVersion::Two));
        assert!(MOST >= PREFACE.len());
    }
}

//! The heads of requests as they came: HTTP/1's parser takes several lengths of one body for one, or ignores one of them,
//! where the request is to be refused.

use std::sync::{Mutex, PoisonError};

use super::check::Malformed;

/// What came of a client since its last request.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Vec<u8>>);

// === impl Heads ===

impl Heads {
    /// Notes what has come, up to the longest head there may be.
    pub(super) fn hear(&self, bytes: &[u8]) {
        let mut heard = self.lock();
        let room = MOST.saturating_sub(heard.len());
        heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Judges the head that was parsed just now, and forgets it.
    ///
    /// Of requests that a client sends without waiting for responses, one that comes in the middle of what was read for
    /// the one before is not seen here; what the parser makes of it is one request in any case.
    pub(super) fn judge(&self) -> Result<(), Malformed> {
        let mut heard = self.lock();
        let judged = lengths(&heard);
        let end = end(&heard);
        heard.drain(..end);
        if heard.capacity() > KEPT {
            heard.shrink_to(KEPT);
        }
        judged
    }

    /// Forgets what came of a body: a head is next.
    pub(super) fn body_ended(&self) {
        self.lock().clear();
    }

    /// Whether a head has begun, where no request is being served: empty lines are none (RFC 9112, 2.2).
    pub(super) fn begun(&self) -> bool {
        !self.lock().iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the first head ends; at the end of all where no end is found.
fn end(bytes: &[u8]) -> usize {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut end = 0;
    let mut begun = false;
    for line in &mut lines {
        end += line.len();
        let empty = matches!(line, b"\n" | b"\r\n");
        if empty && begun {
            break;
        }
        begun |= !empty;
    }
    end
}

/// A body has one length (RFC 9112, 6.3).
fn lengths(bytes: &[u8]) -> Result<(), Malformed> {
    let (mut lengths, mut encodings) = (0, 0);
    for line in bytes[..end(bytes)].split(|byte| *byte == b'\n') {
        match line.first() {
            Some(b'c' | b'C') => lengths += usize::from(is_field(line, b"content-length")),
            Some(b't' | b'T') => encodings += usize::from(is_field(line, b"transfer-encoding")),
            Some(_) | None => {}
        }
    }
    match (lengths, encodings) {
        (0 | 1, 0) | (0, 1) => Ok(()),
        (0, _) => Err(Malformed::OddEncoding),
        (_, 0) => Err(Malformed::SeveralLengths),
        (_, _) => Err(Malformed::LengthAndEncoding),
    }
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()) == Some(&b':')
}

/// How much of what comes is kept: a longer head is refused.
const MOST: usize = 64 * 1024;
/// How much room is kept between requests.
const KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(head: &str) -> Result<(), Malformed> {
        let heads = Heads::default();
        heads.hear(head.as_bytes());
        heads.judge()
    }

    #[test]
    fn a_body_has_one_length() {
        for (fields, expected) in [
            ("", Ok(())),
            ("Content-Length: 5\r\n", Ok(())),
            ("Transfer-Encoding: chunked\r\n", Ok(())),
            (
                "content-length: 5\r\ncontent-length: 5\r\n",
                Err(Malformed::SeveralLengths),
            ),
            (
                "Content-Length: 5\r\nCONTENT-LENGTH: 6\r\n",
                Err(Malformed::SeveralLengths),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Err(Malformed::LengthAndEncoding),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Err(Malformed::LengthAndEncoding),
            ),
            (
                "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
                Err(Malformed::OddEncoding),
            ),
            // Others of a like name.
            ("Content-Length-X: 5\r\nContent-Length: 5\r\n", Ok(())),
        ] {
            assert_eq!(
                judged(&format!("POST / HTTP/1.1\r\n{fields}\r\n")),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_length_in_a_body_is_no_field() {
        assert_eq!(
            judged("POST / HTTP/1.1\r\nContent-Length: 19\r\n\r\nContent-Length: 7\r\n"),
            Ok(())
        );
    }

    #[test]
    fn a_head_is_forgotten_when_it_is_judged_and_the_next_one_stays() {
        let heads = Heads::default();
        heads.hear(b"\r\nGET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n");
        assert!(heads.begun() && heads.judge().is_ok());
        assert!(heads.begun(), "the second one has begun");
        heads.hear(b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n");
        assert_eq!(heads.judge(), Err(Malformed::SeveralLengths));
        assert!(!heads.begun());
    }
}

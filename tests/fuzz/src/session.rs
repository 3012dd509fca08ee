//! Tokens of sessions: each is written in one form only.

use agent::proxy::bytes::session;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(again) = session(text) {
        assert_eq!(again, text);
    }
}

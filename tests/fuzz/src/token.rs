//! Join tokens: a token is written in one form only.

use agent::tls::JoinToken;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(token) = text.parse::<JoinToken>() else {
        return;
    };
    assert_eq!(token.reveal(), text.trim());
    assert!(!format!("{token:?}").contains(text.trim()));
    // Whatever the verdict, its time is one that can be compared.
    let _ = token.check(&token.node);
}

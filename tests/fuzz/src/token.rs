//! Join tokens and fingerprints: each is written in one form only, and a token for any node is read as it was drawn.

use std::time::{Duration, UNIX_EPOCH};

use agent::tls::{Fingerprint, InvalidToken, JoinToken};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string(), text);
    }
    if let Ok(token) = text.parse::<JoinToken>() {
        assert_eq!(token.reveal(), text.trim());
        assert!(!format!("{token:?}").contains(text.trim()), "a secret is shown");
        assert_ne!(token.check(&format!("not {}", token.node)), Ok(()));
        assert_ne!(token.check(&token.node), Err(InvalidToken::OtherNode));
    }
    match JoinToken::draw(text, Fingerprint::of(bytes), UNIX_EPOCH + Duration::from_secs(1)) {
        Ok(token) => {
            let read = token.reveal().parse::<JoinToken>();
            assert!(read.is_ok_and(|read| read == token && read.fingerprint() == token.fingerprint()));
        }
        Err(error) => assert!(
            error == InvalidToken::LongName && text.len() > 255,
            "no token for {text:?}: {error}"
        ),
    }
}

//! The server that a client of TLS asks for: once it is told, nothing that follows changes it, and it is told soon.

use agent::tls::{ServerName, server_name};

pub(crate) fn check(first: &[u8]) {
    let step = (first.len() / MOST_PREFIXES).max(1);
    let lengths = (0..first.len()).step_by(step).chain([first.len()]);
    let told = lengths.fold(ServerName::Incomplete, |before, length| {
        let told = server_name(&first[..length]);
        assert!(
            before == ServerName::Incomplete || told == before,
            "{before:?} became {told:?} at byte {length}"
        );
        told
    });
    if let ServerName::Named(name) = told {
        assert!((1..=253).contains(&name.len()) && name.is_ascii(), "{name:?}");
        assert!(!name.bytes().any(|byte| byte <= b' '), "{name:?}");
    }
    let mut longer = first.to_vec();
    longer.resize(first.len() + LONGEST, 0);
    assert_ne!(
        server_name(&longer),
        ServerName::Incomplete,
        "a connection is held for ever"
    );
}

/// More take too long; a byte that matters is met by some run.
const MOST_PREFIXES: usize = 1024;

/// A record is no longer, and no record begins with a zero.
const LONGEST: usize = 17 * 1024;

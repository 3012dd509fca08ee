//! The first bytes of a connection: once they are judged, nothing that follows changes it, and they are judged soon.

use agent::tls::{Hello, hello};

pub(crate) fn check(first: &[u8]) {
    let step = (first.len() / MOST_PREFIXES).max(1);
    let lengths = (0..first.len()).step_by(step).chain([first.len()]);
    lengths.fold(Hello::Incomplete, |before, length| {
        let told = hello(&first[..length]);
        assert!(
            before == Hello::Incomplete || told == before,
            "{before:?} became {told:?} at byte {length}"
        );
        told
    });
    let mut longer = first.to_vec();
    longer.resize(first.len() + LONGEST, 0);
    assert_ne!(hello(&longer), Hello::Incomplete, "a connection is held for ever");
}

/// More take too long; a byte that matters is met by some run.
const MOST_PREFIXES: usize = 1024;

/// A record is no longer, and no record begins with a zero.
const LONGEST: usize = 17 * 1024;

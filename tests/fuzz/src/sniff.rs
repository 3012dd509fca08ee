//! The first bytes of a client: once they are told, nothing that follows changes it, and they are told soon.

use agent::proxy::{HttpVersion, MOST, Sniffed, sniff, version_of};

pub(crate) fn check(first: &[u8]) {
    let lengths = 0..=first.len().min(2 * MOST);
    lengths.fold((Sniffed::Unclear, None), |(before, version_before), length| {
        let (told, version) = (sniff(&first[..length]), version_of(&first[..length]));
        assert!(
            before == Sniffed::Unclear || told == before,
            "{before:?} became {told:?} at byte {length}"
        );
        assert!(
            version_before.is_none() || version == version_before,
            "at byte {length}"
        );
        match told {
            Sniffed::Http(found) => assert_eq!(version, Some(found)),
            Sniffed::Opaque => assert_eq!(version, Some(HttpVersion::One), "for HTTP/1 to refuse"),
            Sniffed::Unclear => assert!(length < MOST, "a connection is held for ever"),
        }
        (told, version)
    });
}

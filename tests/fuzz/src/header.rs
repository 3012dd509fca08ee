//! The header of a stream: what is understood is written so that it is understood the same.

use agent::proxy::wire::{HEAD, Header, Kind, LONGEST_HEADER, frame_head};

pub(crate) fn check(body: &[u8]) {
    // The frame's length is checked before.
    if body.len() > LONGEST_HEADER {
        return;
    }
    let Ok(header) = Header::decode(body) else {
        return;
    };
    let mut frame = Vec::new();
    header.encode(&mut frame);
    let (head, written) = frame.split_at(HEAD);
    assert_eq!(head, frame_head(Kind::Header, written.len()));
    assert_eq!(Header::decode(written), Ok(header));
}

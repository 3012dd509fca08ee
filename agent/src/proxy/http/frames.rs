//! The frames of a client of HTTP/2 as they came: where one stops in the middle is seen by nobody else, for the library
//! tells of whole requests only.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// What came of a client: its preface, and how far its frames are.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: Mutex<At>,
    /// How often something came.
    heard: AtomicU32,
}

/// Where in the client's frames the last byte was.
#[derive(Debug, Default)]
struct At {
    /// How much came of the preface (RFC 9113, 3.4).
    preface: usize,
    /// Whether the SETTINGS came that belong to the preface.
    settled: bool,
    /// How much came of the next frame's head, and that.
    begun: usize,
    head: [u8; HEAD],
    /// How much of its payload is still to come.
    missing: usize,
    /// Whether a field block goes on in the next frame (RFC 9113, 4.3).
    block: bool,
    /// How many frames came, or field blocks, from their first byte to their last.
    whole: u32,
}

// === impl Frames ===

impl Frames {
    /// Notes what has come.
    pub(super) fn hear(&self, bytes: &[u8]) {
        self.heard.fetch_add(1, Relaxed);
        self.lock().hear(bytes);
    }

    /// What a client that has begun goes on with, as long as it is the same; none where it has finished what it began.
    /// The bytes of a body may come slowly, all else has its time as a whole.
    pub(super) fn begun(&self) -> Option<u32> {
        let at = self.lock();
        let in_body = at.missing > 0 && at.head[KIND] == DATA;
        let unfinished = at.begun > 0 || at.block || (at.preface > 0 && !at.settled);
        match in_body {
            true => Some(self.heard.load(Relaxed)),
            false => unfinished.then_some(at.whole),
        }
    }

    fn lock(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl At ===

impl At {
    fn hear(&mut self, bytes: &[u8]) {
        let preface = bytes.len().min(PREFACE - self.preface);
        self.preface += preface;
        let mut bytes = &bytes[preface..];
        while !bytes.is_empty() {
            let taken = bytes.len().min(self.wanted());
            if self.begun < HEAD {
                self.head[self.begun..][..taken].copy_from_slice(&bytes[..taken]);
                self.begun += taken;
                let [high, middle, low, ..] = self.head;
                self.missing = match self.begun {
                    HEAD => u32::from_be_bytes([0, high, middle, low]) as usize,
                    _ => 0,
                };
            } else {
                self.missing -= taken;
            }
            bytes = &bytes[taken..];
            if self.begun == HEAD && self.missing == 0 {
                self.end();
            }
        }
    }

    /// How much completes the frame's head, or then the frame.
    fn wanted(&self) -> usize {
        match HEAD - self.begun {
            0 => self.missing,
            left => left,
        }
    }

    fn end(&mut self) {
        self.begun = 0;
        match self.head[KIND] {
            HEADERS | CONTINUATION => self.block = self.head[FLAGS] & END_HEADERS == 0,
            SETTINGS => self.settled = true,
            _ => {}
        }
        if !self.block {
            self.whole = self.whole.wrapping_add(1);
        }
    }
}

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE: usize = 24;
/// A frame's head, its length in the first three bytes (RFC 9113, 4.1).
const HEAD: usize = 9;
const KIND: usize = 3;
const FLAGS: usize = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + usize::from(length), 0);
        frame
    }

    fn greeting() -> Vec<u8> {
        [&[0; PREFACE][..], &frame(SETTINGS, 0, 6)].concat()
    }

    /// After `bytes`, in pieces of every size.
    fn after(bytes: &[u8]) -> Option<u32> {
        let begun = (1..=bytes.len()).map(|size| {
            let frames = Frames::default();
            bytes
                .chunks(size)
                .for_each(|piece| frames.at.lock().unwrap().hear(piece));
            frames.begun()
        });
        let mut begun: Vec<_> = begun.collect();
        begun.dedup();
        assert_eq!(begun.len(), 1, "{begun:?}");
        begun[0]
    }

    #[test]
    fn nothing_is_begun_at_the_start_and_between_frames() {
        assert_eq!(Frames::default().begun(), None);
        assert_eq!(after(&greeting()), None);
        let request = [greeting(), frame(HEADERS, END_HEADERS, 20), frame(DATA, 0, 0)].concat();
        assert_eq!(after(&request), None);
        let blocks = [greeting(), frame(HEADERS, 0, 20), frame(CONTINUATION, END_HEADERS, 0)].concat();
        assert_eq!(after(&blocks), None);
    }

    #[test]
    fn a_preface_a_frame_and_a_field_block_that_are_not_whole_are_begun() {
        assert_eq!(after(&[0; 3]), Some(0));
        assert_eq!(after(&greeting()[..PREFACE + HEAD]), Some(0));
        assert_eq!(after(&[greeting(), vec![0; 4]].concat()), Some(1));
        assert_eq!(
            after(&[greeting(), frame(8, 0, 4)[..HEAD + 3].to_vec()].concat()),
            Some(1)
        );
        let mut block = [greeting(), frame(HEADERS, 0, 20)].concat();
        for _ in 0..3 {
            assert_eq!(after(&block), Some(1), "its time is one");
            block.extend(frame(CONTINUATION, 0, 1));
        }
    }

    #[test]
    fn a_body_may_come_slowly() {
        let frames = Frames::default();
        frames.hear(&greeting());
        frames.hear(&frame(DATA, 0, 20)[..HEAD + 1]);
        let first = frames.begun();
        frames.hear(&[0]);
        assert!(first.is_some() && frames.begun().is_some() && frames.begun() != first);
    }
}

//! Frames: however the bytes are cut, the same is read, and no more is held than a header.

use agent::proxy::wire::{Decoder, Event, HEAD, Header, LONGEST_HEADER, Role, Status, Violation};

use crate::pieces::Pieces;

/// An event that outlives its bytes; data that follows data is one.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Header(Box<Header>),
    Status(Status),
    Data(Vec<u8>),
    End,
    Reset,
}

/// All that a decoder says.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    told: Vec<Told>,
    violation: Option<Violation>,
    is_between_streams: bool,
}

pub(crate) fn check(role: Role, bytes: &[u8]) {
    let whole = read(role, [bytes].into_iter());
    assert_eq!(read(role, bytes.chunks(1)), whole, "byte by byte");
    assert_eq!(read(role, Pieces::of(bytes)), whole, "in pieces");
}

fn read<'a, P: Iterator<Item = &'a [u8]>>(role: Role, pieces: P) -> Reading {
    let mut decoder = Decoder::new(role);
    let mut told = Vec::new();
    let mut violation = None;
    let mut held = 0;
    'pieces: for mut piece in pieces {
        loop {
            let before = piece.len();
            let next = decoder.next(&mut piece);
            held += before - piece.len();
            assert!(held <= HEAD + LONGEST_HEADER || matches!(next, Ok(Some(Event::Data(_)))));
            match next {
                Ok(Some(event)) => tell(event, &mut told),
                Ok(None) => {
                    assert!(piece.is_empty(), "all is used up before more is asked for");
                    break;
                }
                Err(found) => {
                    violation = Some(found);
                    break 'pieces;
                }
            }
            held = 0;
        }
    }
    Reading {
        told,
        // Of what follows a violation nothing is read, hence nothing is said.
        is_between_streams: violation.is_none() && decoder.is_between_streams(),
        violation,
    }
}

fn tell(event: Event<'_>, told: &mut Vec<Told>) {
    let event = match event {
        Event::Data(more) => {
            assert!(!more.is_empty(), "no data is no event");
            if let Some(Told::Data(data)) = told.last_mut() {
                return data.extend_from_slice(more);
            }
            Told::Data(more.to_vec())
        }
        Event::Header(header) => Told::Header(header),
        Event::Status(status) => {
            assert_eq!(Status::from(status.code()), status);
            Told::Status(status)
        }
        Event::End => Told::End,
        Event::Reset => Told::Reset,
    };
    told.push(event);
}

//! Frames: where one ends and the next begins, and which may follow which.

use super::{HEAD, Header, InvalidHeader, LONGEST_HEADER, Status};

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What the stream is for.
    Header = 1,
    /// The server's answer to it.
    Status = 2,
    /// Bytes of the stream.
    Data = 3,
    /// No more bytes come from this side.
    End = 4,
    /// This side has broken.
    Reset = 5,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stream begins.
    Header(Box<Header>),
    /// The stream was accepted or refused.
    Status(Status),
    /// Bytes of the stream; a long frame comes in pieces.
    Data(&'a [u8]),
    /// The peer sends no more.
    End,
    /// The peer's side has broken.
    Reset,
}

/// Which side of the connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that opens streams.
    Client,
    /// The one that serves them.
    Server,
}

/// Why bytes are not of this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No such kind of frame.
    #[error("a frame of the unknown kind {0}")]
    UnknownKind(u8),
    /// The frame may not come here.
    #[error("a frame of kind {0:?} where none may come")]
    OutOfOrder(Kind),
    /// The body's length is not one that the kind allows.
    #[error("a frame of kind {kind:?} with a body of {length} bytes")]
    Length {
        /// The frame's kind.
        kind: Kind,
        /// What it says.
        length: usize,
    },
    /// The header's body is not a header.
    #[error(transparent)]
    Header(#[from] InvalidHeader),
}

/// Takes what the peer sends apart, in whatever pieces it comes.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    expects: Expects,
    /// What has come of the next frame's head.
    head: [u8; HEAD],
    filled: u8,
    /// Of the current frame; none between frames.
    kind: Option<Kind>,
    missing: usize,
    /// What has come of a body that is needed whole.
    body: Vec<u8>,
}

/// Which frames may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// A header, or a status: whatever opens a stream.
    Opening,
    /// Data, and its end.
    Flow,
    /// Nothing: the stream has ended in a way after which the connection is not used again.
    Nothing,
}

// === impl Decoder ===

impl Decoder {
    /// Begins before the first stream.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            expects: Expects::Opening,
            head: [0; HEAD],
            filled: 0,
            kind: None,
            missing: 0,
            body: Vec::new(),
        }
    }

    /// Whether the peer's part of the last stream is over, and nothing of the next has come.
    pub fn is_between_streams(&self) -> bool {
        self.expects == Expects::Opening && self.filled == 0 && self.kind.is_none()
    }

    /// Takes the next event from the beginning of `input`; none when all of it is used up.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        let kind = match self.kind {
            Some(kind) => kind,
            None => {
                let Some(kind) = self.read_head(input)? else {
                    return Ok(None);
                };
                kind
            }
        };
        match kind {
            Kind::Data => {
                let length = self.missing.min(input.len());
                if length == 0 {
                    return Ok(None);
                }
                let (bytes, rest) = input.split_at(length);
                *input = rest;
                self.missing -= length;
                if self.missing == 0 {
                    self.kind = None;
                }
                Ok(Some(Event::Data(bytes)))
            }
            Kind::Header | Kind::Status => {
                let length = self.missing.min(input.len());
                let (bytes, rest) = input.split_at(length);
                *input = rest;
                self.body.extend_from_slice(bytes);
                self.missing -= length;
                if self.missing > 0 {
                    return Ok(None);
                }
                self.kind = None;
                // Taken: a connection that waits for the next stream keeps no buffer.
                let body = std::mem::take(&mut self.body);
                self.opened(kind, &body).map(Some)
            }
            Kind::End => {
                self.kind = None;
                self.expects = Expects::Opening;
                Ok(Some(Event::End))
            }
            Kind::Reset => {
                self.kind = None;
                self.expects = Expects::Nothing;
                Ok(Some(Event::Reset))
            }
        }
    }

    /// Reads a frame's head as far as it has come.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Kind>, Violation> {
        let filled = usize::from(self.filled);
        let length = (HEAD - filled).min(input.len());
        let (bytes, rest) = input.split_at(length);
        *input = rest;
        self.head[filled..filled + length].copy_from_slice(bytes);
        if filled + length < HEAD {
            self.filled += length as u8;
            return Ok(None);
        }
        self.filled = 0;
        let [kind, high, middle, low] = self.head;
        let kind = Kind::try_from(kind)?;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.check(kind, length)?;
        self.kind = Some(kind);
        self.missing = length;
        Ok(Some(kind))
    }

    fn check(&self, kind: Kind, length: usize) -> Result<(), Violation> {
        let opening = match self.role {
            Role::Client => Kind::Status,
            Role::Server => Kind::Header,
        };
        let in_order = match self.expects {
            Expects::Opening => kind == opening,
            Expects::Flow => matches!(kind, Kind::Data | Kind::End | Kind::Reset),
            Expects::Nothing => false,
        };
        if !in_order {
            return Err(Violation::OutOfOrder(kind));
        }
        let fits = match kind {
            Kind::Header => length <= LONGEST_HEADER,
            Kind::Status => (1..=LONGEST_STATUS).contains(&length),
            Kind::Data => length > 0,
            Kind::End | Kind::Reset => length == 0,
        };
        if fits {
            Ok(())
        } else {
            Err(Violation::Length { kind, length })
        }
    }

    fn opened(&mut self, kind: Kind, body: &[u8]) -> Result<Event<'static>, Violation> {
        if kind == Kind::Header {
            self.expects = Expects::Flow;
            return Ok(Event::Header(Box::new(Header::decode(body)?)));
        }
        let status = Status::from(body.first().copied().unwrap_or(u8::MAX));
        self.expects = match status {
            Status::Accepted => Expects::Flow,
            Status::Refused(_) => Expects::Nothing,
        };
        Ok(Event::Status(status))
    }
}

// === impl Kind ===

impl TryFrom<u8> for Kind {
    type Error = Violation;

    fn try_from(kind: u8) -> Result<Self, Violation> {
        [Self::Header, Self::Status, Self::Data, Self::End, Self::Reset]
            .into_iter()
            .find(|known| *known as u8 == kind)
            .ok_or(Violation::UnknownKind(kind))
    }
}

/// The head of a frame whose body has this length, which is less than 16 MiB.
pub fn frame_head(kind: Kind, length: usize) -> [u8; HEAD] {
    debug_assert!(length < 1 << 24, "the length has three bytes");
    let [.., high, middle, low] = length.to_be_bytes();
    [kind as u8, high, middle, low]
}

/// More than one byte leaves room for later versions.
const LONGEST_STATUS: usize = 256;

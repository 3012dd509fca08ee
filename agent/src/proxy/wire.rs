//! What two agents say to each other inside mutual TLS: the protocol `weft-tcp/1`. Pure: bytes in, bytes out.
//!
//! A connection carries byte streams, one at a time. All of it is frames: a kind (1 byte), the length of the body
//! (3 bytes, big-endian), the body.
//!
//! ```text
//! kind  frame   from    body
//! 1     header  client  what the stream is for: a protobuf message ([`Header`]), at most 64 KiB
//! 2     status  server  a code (1 byte, [`Status`]); bytes behind it are ignored
//! 3     data    both    bytes of the stream, at least one
//! 4     end     both    empty: the side sends no more (TCP's FIN)
//! 5     reset   both    empty: the side has broken (TCP's RST), and with it the stream
//!
//! client  header data* ─────────── data* end   header …
//! server           status(accepted) data* end         …
//! ```
//!
//! - Data may follow the header at once; it waits at the server until the status is out.
//! - A status other than accepted ends the stream, and the server closes the connection behind it.
//! - After both ends the connection is free for the next header. After a reset it is closed.
//! - The client's header may come at any time after the TLS handshake, the first one in the same flight as `Finished`.
//! - Versions: another ALPN means another protocol. Within this one, unknown fields of the header are ignored, and a
//!   code of a status that is not known counts as a refusal.

mod frame;
mod header;
mod status;

pub use frame::{Decoder, Event, Kind, Role, Violation, frame_head};
pub use header::{Header, InvalidHeader};
pub use status::Status;

/// The bytes before each frame's body.
pub const HEAD: usize = 4;

/// The longest body of a header.
pub const LONGEST_HEADER: usize = 64 * 1024;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod record;

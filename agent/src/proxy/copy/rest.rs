//! Bytes that a socket has not taken yet.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use super::{
    super::{capacity::BufferSeat, door::OpenDoor},
    way::send_now,
};
use crate::telemetry::Denied;

/// What a socket has not taken yet; kept while chunks follow each other, given back when their source pauses.
#[derive(Debug)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    written: usize,
    _seat: BufferSeat,
}

// === impl Rest ===

impl Rest {
    /// Takes bytes over.
    pub(super) fn of(bytes: Vec<u8>, door: &Arc<OpenDoor>) -> Result<Box<Self>, Denied> {
        Ok(Box::new(Self {
            _seat: BufferSeat::take(door, bytes.capacity())?,
            bytes,
            written: 0,
        }))
    }

    /// Puts bytes into `slot`. The room is for a whole chunk, since under bulk the next one follows.
    pub(super) fn keep(
        slot: &mut Option<Box<Self>>,
        bytes: &[u8],
        room: usize,
        door: &Arc<OpenDoor>,
    ) -> Result<(), Denied> {
        let rest = match slot.take() {
            Some(rest) if rest.bytes.capacity() >= bytes.len() => rest,
            Some(_) | None => Self::of(Vec::with_capacity(room.max(bytes.len())), door)?,
        };
        let rest = slot.insert(rest);
        rest.bytes.clear();
        rest.bytes.extend_from_slice(bytes);
        rest.written = 0;
        Ok(())
    }

    /// Whether the socket has all of it.
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Writes all of it to the socket.
    pub(super) fn poll_flush(&mut self, sink: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(sink.poll_write_ready(cx))?;
            self.written += send_now(sink, &self.bytes[self.written..])?;
        }
        Poll::Ready(Ok(()))
    }
}

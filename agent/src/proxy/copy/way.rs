//! One direction of a connection.

use std::{
    cell::Cell,
    future::Future as _,
    io,
    net::Shutdown,
    os::fd::AsRawFd as _,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use nix::sys::socket::{MsgFlags, recv, send};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, task::yield_now};

use super::super::{capacity::BufferSeat, door::OpenDoor, lane::Lane};
use crate::telemetry::Denied;

/// Moves bytes from one side to the other: read into the lane's chunk, written at once.
///
/// Only what the sink does not take stays with the connection, and nothing more is read until that is gone.
#[derive(Debug)]
pub(super) struct Way<'a> {
    source: &'a TcpStream,
    sink: &'a TcpStream,
    moved: &'a Cell<u64>,
    rest: Option<Box<Rest>>,
    source_is: Source,
}

/// How far the source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It may still send.
    Open,
    /// It has ended.
    Ended,
    /// It has ended, and the sink knows.
    Told,
}

/// Why a direction cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The side that is read from.
    Source,
    /// The side that is written to.
    Sink,
    /// There is no room for what the sink does not take.
    Buffers(Denied),
}

/// What the sink has not taken yet; kept while chunks follow each other, given back when the source pauses.
#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    written: usize,
    _seat: BufferSeat,
}

// === impl Way ===

impl<'a> Way<'a> {
    pub(super) fn new(source: &'a TcpStream, sink: &'a TcpStream, moved: &'a Cell<u64>) -> Self {
        Self {
            source,
            sink,
            moved,
            rest: None,
            source_is: Source::Open,
        }
    }

    /// Whether it waits for the source, whose end it would then notice.
    pub(super) fn reads(&self) -> bool {
        self.source_is == Source::Open && self.rest.as_ref().is_none_or(|rest| rest.is_empty())
    }

    /// Moves what can be moved. Ready when the source has ended and all it sent is with the sink, or when a side is broken.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, lane: &Lane, door: &Arc<OpenDoor>) -> Poll<Result<(), Broken>> {
        if self.source_is != Source::Open {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..CHUNKS_A_TURN {
            ready!(self.poll_flush(cx))?;
            let mut chunk = lane.chunk.borrow_mut();
            let chunk = &mut chunk[..door.seat.chunk_size()];
            let Poll::Ready(read) = poll_receive(self.source, chunk, cx) else {
                self.rest = None;
                return Poll::Pending;
            };
            let length = match read {
                Ok(0) => {
                    self.rest = None;
                    self.source_is = Source::Ended;
                    return Poll::Ready(Ok(()));
                }
                Ok(length) => length,
                Err(_error) => {
                    // The kernel tells of a RST once (`sock_error`); reading on would find an orderly end.
                    self.source_is = Source::Ended;
                    return Poll::Ready(Err(Broken::Source));
                }
            };
            self.moved.set(self.moved.get() + length as u64);
            let written = send_now(self.sink, &chunk[..length]).map_err(|_error| Broken::Sink)?;
            if written < length {
                let size = chunk.len();
                self.keep(&chunk[written..length], size, door)?;
            }
        }
        take_turns(cx);
        Poll::Pending
    }

    /// Passes the source's FIN on.
    pub(super) fn tell_end(&mut self) {
        if self.source_is == Source::Ended {
            // Fails where the sink is broken already, of which its own direction tells.
            let _ = SockRef::from(self.sink).shutdown(Shutdown::Write);
            self.source_is = Source::Told;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        while !rest.is_empty() {
            ready!(self.sink.poll_write_ready(cx)).map_err(|_error| Broken::Sink)?;
            rest.written += send_now(self.sink, &rest.bytes[rest.written..]).map_err(|_error| Broken::Sink)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Keeps what the sink did not take. The room is for a whole chunk, since under bulk the next one follows.
    fn keep(&mut self, bytes: &[u8], room: usize, door: &Arc<OpenDoor>) -> Result<(), Broken> {
        let rest = match self.rest.take() {
            Some(rest) if rest.bytes.capacity() >= bytes.len() => rest,
            Some(_) | None => Box::new(Rest {
                _seat: BufferSeat::take(door, room).map_err(Broken::Buffers)?,
                bytes: Vec::with_capacity(room),
                written: 0,
            }),
        };
        let rest = self.rest.insert(rest);
        rest.bytes.clear();
        rest.bytes.extend_from_slice(bytes);
        rest.written = 0;
        Ok(())
    }
}

// === impl Rest ===

impl Rest {
    fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }
}

/// Reads what there is.
///
/// A read that does not fill the chunk has emptied the socket: the readiness is given up with it (it survives where the
/// peer's end has been seen), which saves the read that would only say so.
fn poll_receive(stream: &TcpStream, chunk: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut length = 0;
        let received = stream.try_io(Interest::READABLE, || {
            length = recv(stream.as_raw_fd(), chunk, MsgFlags::empty())?;
            let emptied = 0 < length && length < chunk.len();
            if emptied {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(())
            }
        });
        match received {
            Ok(()) => return Poll::Ready(Ok(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && length > 0 => return Poll::Ready(Ok(length)),
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Writes what the socket takes at once, which may be nothing.
fn send_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut length = 0;
    let sent = stream.try_io(Interest::WRITABLE, || {
        length = send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?;
        // As for reads: a partial write has filled the socket.
        if length < bytes.len() {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(())
        }
    });
    match sent {
        Ok(()) => Ok(length),
        Err(error) if is_temporary(&error) => Ok(length),
        Err(error) => Err(error),
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Lets the lane's other connections go first: the task is woken after the next look at epoll.
fn take_turns(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// How many chunks a bulk connection moves before others have their turn, about 0.3 ms.
const CHUNKS_A_TURN: usize = 8;

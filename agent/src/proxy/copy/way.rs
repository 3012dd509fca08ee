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

use super::{
    super::{
        door::OpenDoor,
        lane::Lane,
        recognise::{Guard, Judged},
    },
    rest::Rest,
};
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
    /// Looks at the source's first bytes.
    guard: Option<Box<Guard>>,
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
    /// There is no room for what the sink does not take, or it may not have it.
    Denied(Denied),
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
            guard: None,
        }
    }

    /// Begins with what was read before, by whoever looked at the first bytes.
    pub(super) fn begun(
        mut self,
        early: Vec<u8>,
        guard: Option<Box<Guard>>,
        door: &Arc<OpenDoor>,
    ) -> Result<Self, Denied> {
        let held = guard.as_ref().map_or(0, |guard| guard.held());
        self.moved.set(self.moved.get() + (early.len() + held) as u64);
        if !early.is_empty() {
            self.rest = Some(Rest::of(early, door)?);
        }
        self.guard = guard;
        Ok(self)
    }

    /// Where it reads.
    pub(super) fn source(&self) -> &'a TcpStream {
        self.source
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
                    if let Some(guard) = self.guard.take() {
                        // Of an agent's words more would have come. The end is found again behind these.
                        self.rest = Some(Rest::of(guard.into_held(), door).map_err(Broken::Denied)?);
                        continue;
                    }
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
            let size = chunk.len();
            let passed;
            let bytes = match self.guard.as_mut().map(|guard| guard.judge(&chunk[..length])) {
                None => &chunk[..length],
                Some(Judged::Hold) => continue,
                Some(Judged::Pass(held)) => {
                    self.guard = None;
                    passed = held;
                    &passed
                }
                Some(Judged::Refuse) => return Poll::Ready(Err(Broken::Denied(Denied::ProtocolViolation))),
            };
            let written = send_now(self.sink, bytes).map_err(|_error| Broken::Sink)?;
            if written < bytes.len() {
                Rest::keep(&mut self.rest, &bytes[written..], size, door).map_err(Broken::Denied)?;
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
        match &mut self.rest {
            None => Poll::Ready(Ok(())),
            Some(rest) => rest.poll_flush(self.sink, cx).map_err(|_error| Broken::Sink),
        }
    }
}

/// Reads what there is.
///
/// A read that does not fill the chunk has emptied the socket: the readiness is given up with it (it survives where the
/// peer's end has been seen), which saves the read that would only say so.
pub(in super::super) fn poll_receive(
    stream: &TcpStream,
    chunk: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
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
pub(in super::super) fn send_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
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
pub(super) fn take_turns(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

/// How many chunks a bulk connection moves before others have their turn, about 0.3 ms.
pub(super) const CHUNKS_A_TURN: usize = 8;

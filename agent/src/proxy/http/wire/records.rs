//! A connection between agents as a stream of bytes. Ciphertext lies in a buffer of the thread, nothing in one of the
//! connection while it is idle.

use std::{
    cell::RefCell,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncWrite as _, ReadBuf};

use crate::{
    proxy::{
        capacity::CHUNK,
        copy::{poll_receive, send_now},
        dial::Secured,
        stream::ResetOnDrop,
    },
    tls::{Established, Records},
};

/// A connection between agents as a stream of bytes.
pub(super) struct RecordStream {
    stream: ResetOnDrop,
    records: Records,
    /// Ciphertext that is no whole record yet.
    partial: Vec<u8>,
    /// Plaintext for which its reader had no room.
    plain: Vec<u8>,
    /// Records that the socket has not taken.
    unsent: Vec<u8>,
    /// Whether the handshake may have brought more than itself.
    fresh: bool,
    ended: bool,
    closed: bool,
}

thread_local! {
    /// What records are read into; nothing stays in it.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
    /// What records are made in; as `INCOMING`.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

// === impl RecordStream ===

impl RecordStream {
    pub(super) fn new(secured: Secured) -> Self {
        let Secured { stream, established } = secured;
        let Established {
            records,
            peer: _,
            protocol: _,
            unread,
            unsent,
            resumed: _,
        } = established;
        Self {
            stream,
            records,
            partial: unread,
            plain: Vec::new(),
            unsent,
            fresh: true,
            ended: false,
            closed: false,
        }
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.plain.is_empty() {
                let taken = self.plain.len().min(buffer.remaining());
                buffer.put_slice(&self.plain[..taken]);
                self.plain.drain(..taken);
                if self.plain.is_empty() {
                    self.plain = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(self.poll_open(cx, buffer))?;
            // A ticket alone is nothing to tell of.
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // One chunk waits at most: who writes faster than the peer reads waits too.
        ready!(self.poll_send(cx))?;
        let taken = &bytes[..bytes.len().min(CHUNK)];
        SEALED.with_borrow_mut(|sealed| {
            sealed.clear();
            self.records.seal(taken, sealed).map_err(io::Error::other)?;
            self.send(sealed)
        })?;
        Poll::Ready(Ok(taken.len()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            self.closed = true;
            self.records.close(&mut self.unsent);
        }
        ready!(self.poll_send(cx))?;
        self.stream.finish();
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    /// Reads once, and opens what is there: what `buffer` has no room for stays in `plain`.
    fn poll_open(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        INCOMING.with_borrow_mut(|chunk| {
            let kept = self.partial.len();
            let length = if std::mem::take(&mut self.fresh) && kept > 0 {
                0
            } else {
                match ready!(poll_receive(&self.stream, &mut chunk[kept..], cx))? {
                    // Without a close_notify it may have been cut.
                    0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    length => length,
                }
            };
            chunk[..kept].copy_from_slice(&self.partial);
            let incoming = &mut chunk[..kept + length];
            let plain = &mut self.plain;
            let opened = self.records.open(incoming, |bytes| {
                let (fits, more) = bytes.split_at(bytes.len().min(buffer.remaining()));
                buffer.put_slice(fits);
                plain.extend_from_slice(more);
            });
            let mut answer = Vec::new();
            self.records.pending(&mut answer);
            self.send(&answer)?;
            let opened = opened.map_err(io::Error::other)?;
            self.ended |= opened.ended;
            let rest = &incoming[opened.used..];
            if self.partial.capacity() < rest.len() || rest.is_empty() {
                self.partial = rest.to_vec();
            } else {
                self.partial.clear();
                self.partial.extend_from_slice(rest);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Sends what the socket takes; the rest waits.
    fn send(&mut self, sealed: &[u8]) -> io::Result<()> {
        let sent = if self.unsent.is_empty() && !sealed.is_empty() {
            send_now(&self.stream, sealed)?
        } else {
            0
        };
        self.unsent.extend_from_slice(&sealed[sent..]);
        Ok(())
    }

    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => sent += send_now(&self.stream, &self.unsent[sent..])?,
                Poll::Pending => {
                    self.unsent.drain(..sent);
                    return Poll::Pending;
                }
            }
        }
        if sent > 0 {
            self.unsent = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

//! A TLS connection as a stream of bytes, for what speaks through such: HTTP/2 between agents and their CA.
//!
//! The proxy does without: it moves bytes through [`Records`] itself.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{LARGEST_PLAIN, Records};

/// A TLS connection as a stream of bytes.
pub struct TlsStream {
    stream: TcpStream,
    records: Records,
    /// Ciphertext that is no whole record yet.
    incoming: Vec<u8>,
    /// Plaintext that nobody has read yet, and how much of it is read.
    plain: Vec<u8>,
    read: usize,
    /// Ciphertext on its way, and how much of it is sent.
    outgoing: Vec<u8>,
    sent: usize,
    ended: bool,
    closed: bool,
}

// === impl TlsStream ===

impl TlsStream {
    /// Joins a connection with its records.
    pub(super) fn new(stream: TcpStream, records: Records, unread: Vec<u8>, unsent: Vec<u8>) -> Self {
        Self {
            stream,
            records,
            incoming: unread,
            plain: Vec::new(),
            read: 0,
            outgoing: unsent,
            sent: 0,
            ended: false,
            closed: false,
        }
    }

    /// Opens what is there.
    fn open(&mut self) -> io::Result<()> {
        let plain = &mut self.plain;
        let opened = self
            .records
            .open(&mut self.incoming, |bytes| plain.extend_from_slice(bytes));
        self.records.pending(&mut self.outgoing);
        let opened = opened.map_err(io::Error::other)?;
        self.incoming.drain(..opened.used);
        self.ended |= opened.ended;
        Ok(())
    }

    /// Sends what is on its way.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.outgoing.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.read < this.plain.len() {
                let rest = &this.plain[this.read..];
                let taken = rest.len().min(buffer.remaining());
                buffer.put_slice(&rest[..taken]);
                this.read += taken;
                if this.read == this.plain.len() {
                    this.plain.clear();
                    this.read = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            this.open()?;
            if !this.plain.is_empty() || this.ended {
                continue;
            }
            let mut chunk = [0; CHUNK];
            let mut received = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut received))?;
            if received.filled().is_empty() {
                // Without a close_notify it may have been cut.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.incoming.extend_from_slice(received.filled());
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // One record waits at most: who writes faster than the peer reads waits too.
        ready!(self.poll_send(cx))?;
        let taken = &bytes[..bytes.len().min(LARGEST_PLAIN)];
        let this = &mut *self;
        this.records.seal(taken, &mut this.outgoing).map_err(io::Error::other)?;
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            this.closed = true;
            this.records.close(&mut this.outgoing);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(&self.stream).finish()
    }
}

/// How much is read at once.
const CHUNK: usize = 8192;

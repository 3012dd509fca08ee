//! A socket as HTTP uses it: with what was read of it before, and with the records of mutual TLS where agents speak.
//!
//! It can leave its thread, as an upgraded connection must be able to; what it reads into is the thread's.

mod records;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};

use self::records::RecordStream;
use super::{frames::Frames, heads::Heads, pace::Pulse, pipe::Pipe};
use crate::proxy::{dial::Secured, stream::ResetOnDrop};

/// A socket of a client or of an upstream. Dropped, it is reset unless all was said.
#[derive(Debug)]
pub(super) struct Wire {
    end: End,
    /// Who is to know of what comes and goes.
    heads: Option<Arc<Heads>>,
    frames: Option<Arc<Frames>>,
    pulse: Option<Arc<Pulse>>,
    listener: Option<Arc<AtomicWaker>>,
}

#[derive(Debug)]
enum End {
    Plain(Plain),
    Records(Box<RecordStream>),
    Piped(Pipe),
}

/// A socket without TLS.
#[derive(Debug)]
struct Plain {
    stream: ResetOnDrop,
    /// What was read of it before.
    early: Vec<u8>,
}

// === impl Wire ===

impl Wire {
    fn new(end: End) -> Self {
        Self {
            end,
            heads: None,
            frames: None,
            pulse: None,
            listener: None,
        }
    }

    /// A socket of which `early` was read already.
    pub(super) fn plain(stream: ResetOnDrop, early: Vec<u8>) -> Self {
        Self::new(End::Plain(Plain { stream, early }))
    }

    /// A connection to another agent.
    pub(super) fn secured(secured: Secured) -> Self {
        Self::new(End::Records(Box::new(RecordStream::new(secured))))
    }

    /// A stream of bytes between agents.
    pub(super) fn piped(pipe: Pipe) -> Self {
        Self::new(End::Piped(pipe))
    }

    /// The same, whose heads are watched.
    pub(super) fn overheard(self, heads: Arc<Heads>) -> Self {
        Self {
            heads: Some(heads),
            ..self
        }
    }

    /// The same, whose frames are watched.
    pub(super) fn framed(self, frames: Arc<Frames>) -> Self {
        Self {
            frames: Some(frames),
            ..self
        }
    }

    /// The same, whose pulse is felt.
    pub(super) fn felt(self, pulse: Arc<Pulse>) -> Self {
        Self {
            pulse: Some(pulse),
            ..self
        }
    }

    /// The same, which wakes who waits for its next words.
    pub(super) fn awaited(self, listener: Arc<AtomicWaker>) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }

    fn note<T>(&self, written: &Poll<T>) {
        if let Some(pulse) = &self.pulse {
            pulse.has_written(written);
        }
    }

    /// Says the last words and lets the peer read them: with bytes of it unread, a close would be a RST that overtakes
    /// them.
    pub(super) async fn farewell(mut self, words: &str) {
        let said = timeout(FAREWELL, async {
            self.write_all(words.as_bytes()).await?;
            self.shutdown().await?;
            let mut unread = [0; 1024];
            while self.read(&mut unread).await? > 0 {}
            Ok::<_, io::Error>(())
        });
        // Whatever happened, it is over.
        let _ = said.await;
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.end {
            End::Plain(plain) => plain.poll_read(cx, buffer),
            End::Records(records) => records.poll_read(cx, buffer),
            End::Piped(pipe) => pipe.poll_read(cx, buffer),
        };
        if read.is_ready() {
            if let Some(pulse) = &self.pulse {
                pulse.has_read();
            }
            if let Some(heads) = &self.heads {
                heads.hear(&buffer.filled()[before..]);
            }
            if let Some(frames) = &self.frames {
                frames.hear(&buffer.filled()[before..]);
            }
            if let Some(listener) = &self.listener {
                listener.wake();
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.end {
            End::Plain(plain) => Pin::new(&mut *plain.stream).poll_write(cx, bytes),
            End::Records(records) => records.poll_write(cx, bytes),
            End::Piped(pipe) => pipe.poll_write(cx, bytes),
        };
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let End::Plain(plain) = &mut self.end else {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| slice));
        };
        let written = Pin::new(&mut *plain.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    /// Records and frames want their bytes in one piece.
    fn is_write_vectored(&self) -> bool {
        match self.end {
            End::Plain(_) => true,
            End::Records(_) | End::Piped(_) => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.end {
            End::Plain(_) => return Poll::Ready(Ok(())),
            End::Records(records) => records.poll_flush(cx),
            End::Piped(pipe) => pipe.poll_flush(cx),
        };
        self.note(&flushed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.end {
            End::Plain(Plain { stream, .. }) => {
                stream.finish();
                Pin::new(&mut **stream).poll_shutdown(cx)
            }
            End::Records(records) => records.poll_shutdown(cx),
            End::Piped(pipe) => pipe.poll_shutdown(cx),
        }
    }
}

// === impl Plain ===

impl Plain {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut *self.stream).poll_read(cx, buffer);
        }
        let taken = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..taken]);
        self.early.drain(..taken);
        self.early.shrink_to_fit();
        Poll::Ready(Ok(()))
    }
}

/// How long a peer may take to read why its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

//! A stream of bytes between agents as HTTP's server uses it: what its client's agent did not take for requests.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf, duplex};

use crate::proxy::{
    carrier::{Carrier, StreamEnd},
    copy::Heard,
    lane::Lane,
    wire::{HEAD, Kind, frame_head},
};

/// The server's end. It can leave its thread, as the carrier can not.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: DuplexStream,
    said_all: Arc<AtomicBool>,
}

/// The end at which frames come and go.
#[derive(Debug)]
pub(super) struct Far {
    bytes: DuplexStream,
    /// Whether the server has said all that it had to say: else it has broken off.
    said_all: Arc<AtomicBool>,
}

/// The bytes on their way.
struct Carrying<'a> {
    carrier: &'a mut Carrier,
    far: Far,
    /// What the server has not read of the client.
    unread: Vec<u8>,
    /// How the client's side has ended.
    ended: Option<StreamEnd>,
    /// Whether the server's side has ended.
    said: bool,
}

/// The client has broken off, or its agent has.
struct Broken;

// === impl Pipe ===

impl Pipe {
    pub(super) fn new() -> (Self, Far) {
        let (near, far) = duplex(ROOM);
        let said_all = Arc::new(AtomicBool::new(false));
        let pipe = Self {
            bytes: near,
            said_all: said_all.clone(),
        };
        (pipe, Far { bytes: far, said_all })
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.said_all.store(true, Relaxed);
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// Carries a stream's bytes to the server and the server's to the client, until the server has said all; `early` was read
/// of the client before.
pub(super) async fn carry(mut carrier: Box<Carrier>, far: Far, early: Vec<u8>, heard: Heard, lane: &Lane) {
    let mut carrying = Carrying {
        carrier: &mut carrier,
        far,
        unread: early,
        ended: heard.ended,
        said: false,
    };
    let carried = poll_fn(|cx| {
        if let Poll::Ready(Err(broken)) = carrying.poll_hear(lane, cx) {
            return Poll::Ready(Err(broken));
        }
        carrying.poll_say(lane, cx)
    })
    .await;
    // The server finds its own end closed.
    drop(carrying);
    if carried.is_ok() {
        carrier.farewell().await;
    }
}

// === impl Carrying ===

impl Carrying<'_> {
    /// From the client to the server; ready when nothing more comes, or is wanted.
    fn poll_hear(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            while !self.unread.is_empty() {
                let Ok(taken) = ready!(Pin::new(&mut self.far.bytes).poll_write(cx, &self.unread)) else {
                    return Poll::Ready(Ok(()));
                };
                self.unread.drain(..taken);
            }
            match self.ended {
                None => {}
                Some(StreamEnd::Reset) => return Poll::Ready(Err(Broken)),
                Some(StreamEnd::Finished) => {
                    return Pin::new(&mut self.far.bytes).poll_shutdown(cx).map(|_closed| Ok(()));
                }
            }
            let received = ready!(self.carrier.poll_receive(ROOM, lane, cx)).map_err(|_error| Broken)?;
            self.unread.extend_from_slice(&lane.plain.borrow());
            self.ended = received.end;
        }
    }

    /// From the server to the client; ready when the server has ended, and the client's agent has all of it.
    fn poll_say(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.carrier.poll_flush(cx)).map_err(|_error| Broken)?;
            if self.said {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = lane.chunk.borrow_mut();
            let mut buffer = ReadBuf::new(&mut chunk[HEAD..HEAD + ROOM]);
            ready!(Pin::new(&mut self.far.bytes).poll_read(cx, &mut buffer)).map_err(|_error| Broken)?;
            let length = buffer.filled().len();
            let sent = if length == 0 {
                self.said = true;
                let end = match self.far.said_all.load(Relaxed) {
                    true => StreamEnd::Finished,
                    false => StreamEnd::Reset,
                };
                self.carrier.send_end(end, lane)
            } else {
                chunk[..HEAD].copy_from_slice(&frame_head(Kind::Data, length));
                self.carrier.send(&chunk[..HEAD + length], lane)
            };
            sent.map_err(|_error| Broken)?;
        }
    }
}

/// How much waits each way.
const ROOM: usize = 16 * 1024;

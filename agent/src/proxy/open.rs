//! A stream's beginning, at the client's agent: header and first bytes go, a status comes.

use std::{
    cell::Cell,
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{
    capacity::CHUNK,
    carrier::{Carrier, CarrierError, Opening},
    copy::{Heard, poll_receive},
    detect::{self, HttpVersion},
    lane::Lane,
    wire::{HEAD, Header, Kind, Status, frame_head},
};
use crate::telemetry::Denied;

/// A client whose stream is to be opened, with what it has already said.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    client: &'a TcpStream,
    /// All that was read of the client: it is said again where a connection turns out to be stale.
    pub(super) early: Vec<u8>,
    is: Client,
    /// Whether the client is still being listened to: its words stay in its socket.
    held: &'a Cell<bool>,
}

/// Whether more is to be expected of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// More may come.
    Speaks,
    /// It has sent all: the copy finds that again.
    Ended,
    /// It has broken, which the kernel tells once (`sock_error`).
    Broken,
}

/// An opened stream.
#[derive(Debug)]
pub(super) struct OpenStream {
    pub(super) carrier: Box<Carrier>,
    /// What the server's side has said already.
    pub(super) early: Vec<u8>,
    /// How both sides have ended already.
    pub(super) heard: Heard,
}

/// Why a stream is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The connection was over before the server had said anything of this stream.
    Stale,
    /// The server has refused, or does not keep to the protocol.
    Refused(Denied),
}

// === impl Opener ===

impl<'a> Opener<'a> {
    /// Nothing of the client was read yet.
    pub(super) fn new(client: &'a TcpStream, held: &'a Cell<bool>) -> Self {
        Self {
            held,
            client,
            early: Vec::new(),
            is: Client::Speaks,
        }
    }

    /// In which version a client speaks that must speak HTTP.
    pub(super) async fn version(&self, lane: &Lane) -> Result<HttpVersion, Denied> {
        detect::version(self.client, &self.early, lane).await
    }

    /// Opens a stream, and passes on what the client says until the server answers, [`MOST_EARLY`] at most.
    pub(super) async fn open(
        &mut self,
        mut carrier: Box<Carrier>,
        header: &Header,
        lane: &Lane,
    ) -> Result<OpenStream, NotOpened> {
        let mut words = Vec::new();
        header.encode(&mut words);
        // A client that speaks first has mostly done so: its words go in the same record.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while self.poll_read(lane, &mut cx).is_ready() {}
        if !self.early.is_empty() {
            words.extend_from_slice(&frame_head(Kind::Data, self.early.len()));
            words.extend_from_slice(&self.early);
        }
        carrier.send(&words, lane).map_err(|error| not_opened(&error))?;
        drop(words);
        let received = poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = carrier.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            while let Poll::Ready(said) = self.poll_read(lane, cx) {
                let mut frame = Vec::with_capacity(HEAD + said.len());
                frame.extend_from_slice(&frame_head(Kind::Data, said.len()));
                frame.extend_from_slice(&self.early[said]);
                if let Err(error) = carrier.send(&frame, lane) {
                    return Poll::Ready(Err(error));
                }
            }
            carrier.poll_receive(CHUNK, lane, cx)
        })
        .await;
        let received = received.map_err(|error| not_opened(&error))?;
        match received.opening {
            Some(Opening::Status(Status::Accepted)) => Ok(OpenStream {
                carrier,
                early: lane.plain.borrow().clone(),
                heard: Heard {
                    ended: received.end,
                    broken: self.is == Client::Broken,
                },
            }),
            Some(Opening::Status(Status::Refused(denied))) => Err(NotOpened::Refused(denied)),
            Some(Opening::Header(_)) | None => Err(NotOpened::Refused(Denied::ProtocolViolation)),
        }
    }

    /// Reads more of the client; the range in `early` of what has come.
    fn poll_read(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<std::ops::Range<usize>> {
        let room = MOST_EARLY - self.early.len();
        if self.is != Client::Speaks || room == 0 || self.held.get() {
            return Poll::Pending;
        }
        let mut chunk = lane.chunk.borrow_mut();
        let most = chunk.len().min(room);
        match poll_receive(self.client, &mut chunk[..most], cx) {
            Poll::Ready(Ok(0)) => {
                self.is = Client::Ended;
                Poll::Pending
            }
            Poll::Ready(Err(_error)) => {
                self.is = Client::Broken;
                Poll::Pending
            }
            Poll::Ready(Ok(length)) => {
                let before = self.early.len();
                self.early.extend_from_slice(&chunk[..length]);
                Poll::Ready(before..self.early.len())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

// === impl OpenStream ===

impl OpenStream {
    /// Waits until the server's side says something, or only ends.
    pub(super) async fn spoken(&mut self, lane: &Lane) -> bool {
        if !self.early.is_empty() || self.heard.ended.is_some() {
            return !self.early.is_empty();
        }
        // What goes wrong here is found again by the copy.
        if let Ok(received) = poll_fn(|cx| self.carrier.poll_receive(CHUNK, lane, cx)).await {
            self.early.extend_from_slice(&lane.plain.borrow());
            self.heard.ended = received.end;
        }
        !self.early.is_empty()
    }
}

fn not_opened(error: &CarrierError) -> NotOpened {
    match error.denied() {
        Some(denied) => NotOpened::Refused(denied),
        None => NotOpened::Stale,
    }
}

/// How much of a client is kept until the server has answered.
const MOST_EARLY: usize = 64 * 1024;

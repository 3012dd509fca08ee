//! A connection to another agent: mutual TLS, in which the frames of one stream after another come and go.

use std::{
    future::poll_fn,
    io, mem,
    net::{Shutdown, SocketAddr},
    os::fd::AsRawFd as _,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, time::timeout};

use super::{
    copy::{poll_receive, send_now},
    lane::Lane,
    stream::ResetOnDrop,
    wire::{Decoder, Event, Header, Kind, Role, Status, Violation, frame_head},
};
use crate::{
    telemetry::{ConnectionId, Denied},
    tls::{Established, Peer, Records, TlsError},
};

/// A connection to another agent.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Names it while it waits for a stream.
    pub(super) id: ConnectionId,
    stream: ResetOnDrop,
    records: Records,
    decoder: Decoder,
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// The beginning of a record of which the rest has not come.
    partial: Vec<u8>,
    /// Records that the socket has not taken.
    unsent: Vec<u8>,
    /// What was decrypted of the next stream while the last one ended.
    ahead: Vec<u8>,
    /// Whether the handshake may have brought more than itself.
    fresh: bool,
    opened: Instant,
}

/// What was received at once; the stream's bytes among it lie in [`Lane::plain`].
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) opening: Option<Opening>,
    pub(super) end: Option<StreamEnd>,
}

/// The first frame of a stream.
#[derive(Debug)]
pub(super) enum Opening {
    Header(Box<Header>),
    Status(Status),
}

/// How the peer's side of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// It has sent all.
    Finished,
    /// It has broken.
    Reset,
}

/// Why nothing more comes by a carrier.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarrierError {
    /// The peer has closed the connection.
    #[error("the other agent has closed the connection")]
    Closed,
    /// The socket has failed.
    #[error("the connection to the other agent has failed")]
    Socket(#[from] io::Error),
    /// A record is wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A frame is wrong.
    #[error("the other agent does not keep to the protocol")]
    Violation(#[from] Violation),
}

// === impl Carrier ===

impl Carrier {
    /// Takes over a connection whose handshake is done.
    pub(super) fn new(stream: ResetOnDrop, established: Established, role: Role, id: ConnectionId) -> Self {
        let Established {
            records,
            peer,
            protocol: _,
            unread,
            unsent,
            resumed: _,
        } = established;
        Self {
            id,
            stream,
            records,
            decoder: Decoder::new(role),
            peer,
            partial: unread,
            unsent,
            ahead: Vec::new(),
            fresh: true,
            opened: Instant::now(),
        }
    }

    /// The socket.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Where the peer is, as far as the socket still knows.
    pub(super) fn peer_address(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Since when the connection stands.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Whether both sides of the last stream are over and nothing else is under way.
    pub(super) fn is_free(&self) -> bool {
        self.decoder.is_between_streams() && self.unsent.is_empty() && self.partial.is_empty() && self.ahead.is_empty()
    }

    /// Sends a frame's bytes, or several frames', as far as the socket takes them; the rest waits for [`Self::poll_flush`].
    pub(super) fn send(&mut self, frames: &[u8], lane: &Lane) -> Result<(), CarrierError> {
        if !self.unsent.is_empty() {
            return Ok(self.records.seal(frames, &mut self.unsent)?);
        }
        let mut sealed = lane.sealed.borrow_mut();
        sealed.clear();
        self.records.seal(frames, &mut sealed)?;
        let sent = send_now(&self.stream, &sealed)?;
        self.unsent.extend_from_slice(&sealed[sent..]);
        Ok(())
    }

    /// Says that this side of the stream has ended.
    pub(super) fn send_end(&mut self, end: StreamEnd, lane: &Lane) -> Result<(), CarrierError> {
        let kind = match end {
            StreamEnd::Finished => Kind::End,
            StreamEnd::Reset => Kind::Reset,
        };
        self.send(&frame_head(kind, 0), lane)
    }

    /// How many sealed bytes wait for the socket.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends what waits.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CarrierError>> {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.stream.poll_write_ready(cx)? {
                Poll::Ready(()) => written += send_now(&self.stream, &self.unsent[written..])?,
                Poll::Pending => {
                    self.unsent.drain(..written);
                    return Poll::Pending;
                }
            }
        }
        self.unsent = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Receives what there is: the stream's bytes go to [`Lane::plain`], whose last content is lost.
    ///
    /// `chunk_size` limits how much is read at once; a record more than that is always taken.
    pub(super) fn poll_receive(
        &mut self,
        chunk_size: usize,
        lane: &Lane,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, CarrierError>> {
        lane.plain.borrow_mut().clear();
        let mut received = Received::default();
        if !self.ahead.is_empty() {
            let ahead = mem::take(&mut self.ahead);
            self.decode(&ahead, &mut received, lane)?;
            return Poll::Ready(Ok(received));
        }
        let mut chunk = lane.chunk.borrow_mut();
        loop {
            let whole = mem::take(&mut self.fresh) || is_whole(&self.partial);
            let kept = self.partial.len();
            let most = chunk_size.max(LARGEST_RECORD).max(kept).min(chunk.len());
            let length = if whole {
                0
            } else {
                match ready!(poll_receive(&self.stream, &mut chunk[kept..most], cx))? {
                    0 => return Poll::Ready(Err(CarrierError::Closed)),
                    length => length,
                }
            };
            chunk[..kept].copy_from_slice(&self.partial);
            let opened = self.open(&mut chunk[..kept + length], &mut received, lane);
            self.answer(lane)?;
            if opened? {
                return Poll::Ready(Err(CarrierError::Closed));
            }
            // A ticket alone is nothing to tell of.
            if received.opening.is_some() || received.end.is_some() || !lane.plain.borrow().is_empty() {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// Looks, without waiting, whether a connection between two streams can still be used.
    pub(super) fn is_alive(&mut self, lane: &Lane) -> bool {
        let mut byte = [0];
        let looked = self.stream.try_io(Interest::READABLE, || {
            Ok(recv(
                self.stream.as_raw_fd(),
                &mut byte,
                MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
            )?)
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(_) | Ok(0) => false,
            // A ticket, most likely.
            Ok(_) => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                let received = self.poll_receive(LARGEST_RECORD, lane, &mut cx);
                received.is_pending() && self.is_free()
            }
        }
    }

    /// Ends the connection in order.
    pub(super) fn close(mut self, lane: &Lane) {
        let mut sealed = lane.sealed.borrow_mut();
        sealed.clear();
        self.records.close(&mut sealed);
        // The peer learns it by the FIN too.
        let _ = send_now(&self.stream, &sealed);
        self.stream.close();
    }

    /// Lets the peer read what it was told last: with bytes of it unread, a close would be a RST that overtakes them.
    pub(super) async fn farewell(mut self: Box<Self>) {
        let said = timeout(FAREWELL, async {
            poll_fn(|cx| self.poll_flush(cx)).await?;
            SockRef::from(&*self.stream).shutdown(Shutdown::Write)?;
            let mut unread = [0; 1024];
            loop {
                self.stream.readable().await?;
                match self.stream.try_read(&mut unread) {
                    Ok(0) => return Ok::<_, CarrierError>(()),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
                    Ok(_) | Err(_) => {}
                }
            }
        });
        if matches!(said.await, Ok(Ok(()))) {
            self.stream.close();
        }
    }

    /// Decrypts and decodes; true when the peer has said that it sends no more.
    fn open(&mut self, chunk: &mut [u8], received: &mut Received, lane: &Lane) -> Result<bool, CarrierError> {
        let Self {
            records,
            decoder,
            ahead,
            partial,
            ..
        } = self;
        let mut plain = lane.plain.borrow_mut();
        let mut decoded = Ok(());
        let opened = records.open(chunk, |bytes| {
            if decoded.is_ok() {
                decoded = decode(bytes, decoder, received, &mut plain, ahead);
            }
        })?;
        decoded?;
        let rest = &chunk[opened.used..];
        // Given back when nothing is left, and no larger than needed: most connections are idle.
        if partial.capacity() < rest.len() || rest.is_empty() {
            *partial = rest.to_vec();
        } else {
            partial.clear();
            partial.extend_from_slice(rest);
        }
        Ok(opened.ended)
    }

    fn decode(&mut self, bytes: &[u8], received: &mut Received, lane: &Lane) -> Result<(), CarrierError> {
        let plain = &mut lane.plain.borrow_mut();
        Ok(decode(bytes, &mut self.decoder, received, plain, &mut self.ahead)?)
    }

    /// Sends what TLS itself has to say.
    fn answer(&mut self, lane: &Lane) -> Result<(), CarrierError> {
        if !self.unsent.is_empty() {
            self.records.pending(&mut self.unsent);
            return Ok(());
        }
        let mut sealed = lane.sealed.borrow_mut();
        sealed.clear();
        self.records.pending(&mut sealed);
        if !sealed.is_empty() {
            let sent = send_now(&self.stream, &sealed)?;
            self.unsent.extend_from_slice(&sealed[sent..]);
        }
        Ok(())
    }
}

// === impl CarrierError ===

impl CarrierError {
    /// The reason in a connection's record; none where the connection has only ended.
    pub(super) fn denied(&self) -> Option<Denied> {
        match self {
            Self::Closed | Self::Socket(_) => None,
            Self::Tls(error) => Some(error.denied()),
            Self::Violation(_) => Some(Denied::ProtocolViolation),
        }
    }
}

/// Sorts frames; what follows the end of a stream belongs to the next.
fn decode(
    mut bytes: &[u8],
    decoder: &mut Decoder,
    received: &mut Received,
    plain: &mut Vec<u8>,
    ahead: &mut Vec<u8>,
) -> Result<(), Violation> {
    while received.end.is_none() {
        match decoder.next(&mut bytes)? {
            None => return Ok(()),
            Some(Event::Data(data)) => plain.extend_from_slice(data),
            Some(Event::Header(header)) => received.opening = Some(Opening::Header(header)),
            Some(Event::Status(status)) => received.opening = Some(Opening::Status(status)),
            Some(Event::End) => received.end = Some(StreamEnd::Finished),
            Some(Event::Reset) => received.end = Some(StreamEnd::Reset),
        }
    }
    ahead.extend_from_slice(bytes);
    Ok(())
}

/// Whether at least one whole record is there (RFC 8446, 5.1: the length stands in bytes 3 and 4).
fn is_whole(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, _, high, low, body @ ..] => body.len() >= usize::from(u16::from_be_bytes([*high, *low])),
        _ => false,
    }
}

/// How long a peer may take to read why it was refused.
const FAREWELL: Duration = Duration::from_secs(1);
/// The longest record: 2^14 + 256 bytes behind a head of 5 (RFC 8446, 5.2).
const LARGEST_RECORD: usize = 5 + (1 << 14) + 256;

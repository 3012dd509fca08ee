//! The bytes between a socket and a carrier: plain on one side, framed and encrypted on the other.

use std::{
    cell::Cell,
    future::{Future as _, poll_fn},
    net::Shutdown,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, time::timeout};

use super::{
    super::{
        capacity::BufferSeat,
        carrier::{Carrier, StreamEnd},
        door::OpenDoor,
        lane::Lane,
        wire::{HEAD, Kind, frame_head},
    },
    End, Heard, SETTLING_TIME, acknowledged,
    rest::Rest,
    way::{CHUNKS_A_TURN, poll_receive, send_now, take_turns},
};
use crate::telemetry::Denied;

/// A socket of this node and the carrier that its stream goes by.
pub(in super::super) struct Framed<'a> {
    pub(in super::super) socket: &'a TcpStream,
    pub(in super::super) carrier: &'a mut Carrier,
    pub(in super::super) door: &'a Arc<OpenDoor>,
    /// Bytes that were read from the carrier before, for the socket.
    pub(in super::super) early: Vec<u8>,
    /// What is known of the ends already.
    pub(in super::super) heard: Heard,
    /// Counts the bytes from the socket.
    pub(in super::super) framed: &'a Cell<u64>,
    /// Counts the bytes to the socket.
    pub(in super::super) unframed: &'a Cell<u64>,
}

/// The copy on its way.
struct Copy<'a> {
    framed: Framed<'a>,
    /// What the socket has not taken.
    rest: Option<Box<Rest>>,
    /// Room for what the carrier has not taken.
    unsent: Option<BufferSeat>,
    socket_is: Side,
    carrier_is: Side,
    /// Whether an end of the socket is none, but what follows a RST.
    socket_broken: bool,
}

/// How far what comes from one side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// More may come.
    Open,
    /// All has come and is passed on.
    Ended,
}

/// Why the copy cannot go on.
enum Broken {
    /// The socket's peer has broken off.
    Socket,
    /// The carrier's peer says that its side has broken, or the carrier itself has.
    Carrier,
    /// There is no room, or the peer does not keep to the protocol.
    Denied(Denied),
}

/// Copies both ways until the end. After [`End::Finished`] the carrier is free for the next stream, and the socket is to
/// be closed.
pub(in super::super) async fn framed(framed: Framed<'_>, lane: &Lane) -> Result<End, Denied> {
    let socket = framed.socket;
    let mut copy = Copy::new(framed)?;
    // A side that is not being read tells of its end by an error only.
    let mut socket_error = pin!(socket.ready(Interest::ERROR));
    let broken = poll_fn(|cx| {
        match copy.poll(lane, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(None),
            Poll::Ready(Err(broken)) => return Poll::Ready(Some(broken)),
            Poll::Pending => {}
        }
        if !copy.reads_socket() && socket_error.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Broken::Socket));
        }
        Poll::Pending
    })
    .await;
    match broken {
        None => return Ok(End::Finished),
        Some(Broken::Denied(denied)) => return Err(denied),
        Some(Broken::Socket) => Box::pin(copy.tell_carrier(lane)).await,
        Some(Broken::Carrier) => Box::pin(copy.tell_socket()).await,
    }
    Ok(End::Reset)
}

// === impl Copy ===

impl<'a> Copy<'a> {
    fn new(mut framed: Framed<'a>) -> Result<Self, Denied> {
        let early = std::mem::take(&mut framed.early);
        framed.unframed.set(framed.unframed.get() + early.len() as u64);
        let rest = match early.is_empty() {
            true => None,
            false => Some(Rest::of(early, framed.door)?),
        };
        Ok(Self {
            framed,
            rest,
            unsent: None,
            socket_is: Side::Open,
            carrier_is: Side::Open,
            socket_broken: false,
        })
    }

    /// Moves what can be moved; ready when both sides have said all and all of it is with the other.
    fn poll(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.framed.heard.broken {
            return Poll::Ready(Err(Broken::Socket));
        }
        let framed = self.poll_frame(lane, cx)?;
        let unframed = self.poll_unframe(lane, cx)?;
        if framed.is_ready() && unframed.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// From the socket to the carrier.
    fn poll_frame(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Framed {
            socket,
            carrier,
            door,
            framed,
            ..
        } = &mut self.framed;
        for _ in 0..CHUNKS_A_TURN {
            ready!(carrier.poll_flush(cx)).map_err(|error| Broken::carrier(error.denied()))?;
            self.unsent = None;
            if self.socket_is == Side::Ended {
                return Poll::Ready(Ok(()));
            }
            let mut chunk = lane.chunk.borrow_mut();
            let size = door.seat.chunk_size();
            let Poll::Ready(read) = poll_receive(socket, &mut chunk[HEAD..size], cx) else {
                return Poll::Pending;
            };
            let Ok(length) = read else {
                // The kernel tells of a RST once (`sock_error`); reading on would find an orderly end.
                self.socket_is = Side::Ended;
                return Poll::Ready(Err(Broken::Socket));
            };
            let sent = if length == 0 {
                self.socket_is = Side::Ended;
                if self.socket_broken {
                    return Poll::Ready(Ok(()));
                }
                carrier.send_end(StreamEnd::Finished, lane)
            } else {
                framed.set(framed.get() + length as u64);
                chunk[..HEAD].copy_from_slice(&frame_head(Kind::Data, length));
                carrier.send(&chunk[..HEAD + length], lane)
            };
            sent.map_err(|error| Broken::carrier(error.denied()))?;
            if carrier.unsent() > 0 {
                self.unsent = Some(BufferSeat::take(door, size).map_err(Broken::Denied)?);
            }
        }
        take_turns(cx);
        Poll::Pending
    }

    /// From the carrier to the socket.
    fn poll_unframe(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        for _ in 0..CHUNKS_A_TURN {
            if let Some(rest) = &mut self.rest {
                ready!(rest.poll_flush(self.framed.socket, cx)).map_err(|_error| Broken::Socket)?;
            }
            if self.carrier_is == Side::Ended {
                return Poll::Ready(Ok(()));
            }
            match self.framed.heard.ended {
                None => {}
                Some(StreamEnd::Reset) => return Poll::Ready(Err(Broken::Carrier)),
                Some(StreamEnd::Finished) => {
                    // Fails where the socket is broken already, of which its own direction tells.
                    let _ = SockRef::from(self.framed.socket).shutdown(Shutdown::Write);
                    self.carrier_is = Side::Ended;
                    self.rest = None;
                    return Poll::Ready(Ok(()));
                }
            }
            let Framed {
                socket,
                carrier,
                door,
                unframed,
                heard,
                ..
            } = &mut self.framed;
            let size = door.seat.chunk_size();
            let Poll::Ready(received) = carrier.poll_receive(size, lane, cx) else {
                self.rest = None;
                return Poll::Pending;
            };
            let received = received.map_err(|error| Broken::carrier(error.denied()))?;
            heard.ended = received.end;
            let plain = lane.plain.borrow();
            unframed.set(unframed.get() + plain.len() as u64);
            let written = send_now(socket, &plain).map_err(|_error| Broken::Socket)?;
            if written < plain.len() {
                Rest::keep(&mut self.rest, &plain[written..], size, door).map_err(Broken::Denied)?;
            }
        }
        take_turns(cx);
        Poll::Pending
    }

    /// Whether the socket's end would be noticed by reading.
    fn reads_socket(&self) -> bool {
        self.socket_is == Side::Open && self.framed.carrier.unsent() == 0
    }

    /// Passes on to the carrier what the socket had sent before it broke, and that it has.
    async fn tell_carrier(mut self, lane: &Lane) {
        self.socket_broken = true;
        let told = timeout(SETTLING_TIME, async {
            // Whatever happens here, the connection ends.
            let _ = poll_fn(|cx| self.poll_frame(lane, cx)).await;
            let carrier = self.framed.carrier;
            if carrier.send_end(StreamEnd::Reset, lane).is_ok() {
                let _ = poll_fn(|cx| carrier.poll_flush(cx)).await;
                acknowledged(carrier.stream()).await;
            }
        });
        let _ = told.await;
    }

    /// Gives the socket what it has not taken yet, before it is reset.
    async fn tell_socket(mut self) {
        let socket = self.framed.socket;
        let rest = &mut self.rest;
        let told = timeout(SETTLING_TIME, async {
            if let Some(rest) = rest {
                // Whatever happens here, a RST follows.
                let _ = poll_fn(|cx| rest.poll_flush(socket, cx)).await;
            }
            acknowledged(socket).await;
        });
        let _ = told.await;
    }
}

// === impl Broken ===

impl Broken {
    fn carrier(denied: Option<Denied>) -> Self {
        denied.map_or(Self::Carrier, Self::Denied)
    }
}

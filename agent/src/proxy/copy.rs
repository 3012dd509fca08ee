//! Step nine: the bytes, both ways at once, until both sides have said all or one of them breaks.

mod framed;
mod rest;
mod way;

use std::{
    future::{Future as _, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    io::Interest,
    net::TcpStream,
    time::{sleep, timeout},
};

pub(super) use self::way::{poll_receive, send_now};
use self::{
    framed::{Framed, framed},
    way::{Broken, Way},
};
use super::{
    captured::Arrival,
    carrier::{Carrier, StreamEnd},
    connect::Kept,
    door::OpenDoor,
    lane::Lane,
    live::{Live, Tracked},
    recognise::Guard,
    stream::ResetOnDrop,
};
use crate::{net, telemetry::Denied};

/// A client and its upstream, joined.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) ends: Ends,
    /// What was read of one of them before: of the client where the upstream is a socket, else of the carrier.
    pub(super) early: Vec<u8>,
    pub(super) _kept: Kept,
}

/// What the bytes come from and go to.
#[derive(Debug)]
pub(super) enum Ends {
    /// Two sockets. The guard looks at the client's first bytes.
    Sockets {
        client: ResetOnDrop,
        upstream: ResetOnDrop,
        guard: Option<Box<Guard>>,
    },
    /// A client of this node, served by another node's pod.
    ToMesh {
        client: ResetOnDrop,
        carrier: Box<Carrier>,
        heard: Heard,
    },
    /// A client of another node, served by an application of this one.
    FromMesh {
        carrier: Box<Carrier>,
        app: ResetOnDrop,
        heard: Heard,
    },
}

/// What is known of the ends of a carrier's stream before the copy begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// How the peer's side has ended already.
    pub(super) ended: Option<StreamEnd>,
    /// Whether the socket has broken already.
    pub(super) broken: bool,
}

/// How a connection ended that nobody cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides have sent their FIN, and all that came before has been passed on.
    Finished,
    /// One side broke, and what it had sent before has been passed on: the other side is to see a RST too.
    Reset,
}

/// Which side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

// === impl Tracked ===

impl Tracked {
    /// Copies until the end; the report follows when `self` is dropped. A carrier that is free for the next stream is given
    /// back.
    pub(super) async fn copy(&self, mut joined: Box<Joined>, arrival: &Arrival, lane: &Lane) -> Option<Box<Carrier>> {
        self.connected();
        let ended = self.unless_cut(pin!(copy(&mut joined, self, arrival, lane))).await;
        match ended {
            Ok(End::Finished) => joined.ends.close(),
            // All is reset by being dropped.
            Ok(End::Reset) => None,
            Err(denied) => {
                self.deny(denied);
                None
            }
        }
    }
}

// === impl Ends ===

impl Ends {
    /// Ends sockets in order, and gives the carrier back.
    fn close(self) -> Option<Box<Carrier>> {
        match self {
            Self::Sockets { client, upstream, .. } => {
                client.close();
                upstream.close();
                None
            }
            Self::ToMesh {
                client: socket,
                carrier,
                ..
            }
            | Self::FromMesh {
                app: socket, carrier, ..
            } => {
                socket.close();
                Some(carrier)
            }
        }
    }
}

async fn copy(joined: &mut Joined, live: &Live, arrival: &Arrival, lane: &Lane) -> Result<End, Denied> {
    let door = arrival.door();
    let early = mem::take(&mut joined.early);
    match &mut joined.ends {
        Ends::Sockets {
            client,
            upstream,
            guard,
        } => {
            let sending = Way::new(client, upstream, &live.sent).begun(early, guard.take(), door)?;
            sockets(sending, Way::new(upstream, client, &live.received), lane, door).await
        }
        Ends::ToMesh { client, carrier, heard } => {
            let stream = Framed {
                socket: client,
                carrier,
                door,
                early,
                heard: *heard,
                framed: &live.sent,
                unframed: &live.received,
            };
            framed(stream, lane).await
        }
        Ends::FromMesh { carrier, app, heard } => {
            let stream = Framed {
                socket: app,
                carrier,
                door,
                early,
                heard: *heard,
                framed: &live.received,
                unframed: &live.sent,
            };
            framed(stream, lane).await
        }
    }
}

async fn sockets(
    mut sending: Way<'_>,
    mut receiving: Way<'_>,
    lane: &Lane,
    door: &Arc<OpenDoor>,
) -> Result<End, Denied> {
    let (client, upstream) = (sending.source(), receiving.source());
    // A side that is not being read tells of its end by an error only.
    let mut client_error = pin!(client.ready(Interest::ERROR));
    let mut upstream_error = pin!(upstream.ready(Interest::ERROR));

    let broken = poll_fn(|cx| {
        let sent = sending.poll(cx, lane, door);
        let received = receiving.poll(cx, lane, door);
        let broken = match (sent, received) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(None)),
            (Poll::Ready(Err(Broken::Denied(denied))), _) | (_, Poll::Ready(Err(Broken::Denied(denied)))) => {
                return Poll::Ready(Err(denied));
            }
            (Poll::Ready(Err(Broken::Source)), _) | (_, Poll::Ready(Err(Broken::Sink))) => Some(Side::Client),
            (Poll::Ready(Err(Broken::Sink)), _) | (_, Poll::Ready(Err(Broken::Source))) => Some(Side::Upstream),
            (Poll::Ready(Ok(())) | Poll::Pending, Poll::Ready(Ok(())) | Poll::Pending) => None,
        };
        if broken.is_some() {
            return Poll::Ready(Ok(broken));
        }
        // The end of both sides is passed on by closing them.
        sending.tell_end();
        receiving.tell_end();
        if !sending.reads() && client_error.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(Some(Side::Client)));
        }
        if !receiving.reads() && upstream_error.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(Some(Side::Upstream)));
        }
        Poll::Pending
    })
    .await?;

    let (last_words, listener) = match broken {
        None => return Ok(End::Finished),
        Some(Side::Client) => (&mut sending, upstream),
        Some(Side::Upstream) => (&mut receiving, client),
    };
    // Boxed: an open connection does not keep the room of its end.
    let settled = Box::pin(timeout(SETTLING_TIME, async {
        // Whatever happens here, a RST follows; an end that is found is not passed on.
        let _ = poll_fn(|cx| last_words.poll(cx, lane, door)).await;
        acknowledged(listener).await;
    }));
    let _ = settled.await;
    Ok(End::Reset)
}

/// Waits until the peer has acknowledged what it was sent: a RST would throw away what still waits.
async fn acknowledged(stream: &TcpStream) {
    let mut pause = SHORTEST_PAUSE;
    while net::unacknowledged(stream).is_ok_and(|bytes| bytes > 0) {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How long the last bytes of a broken side may take to the other side.
const SETTLING_TIME: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

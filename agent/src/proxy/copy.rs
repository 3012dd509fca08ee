//! Step nine: the bytes, both ways at once, until both sides have said all or one of them breaks.

mod way;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{
    io::Interest,
    net::TcpStream,
    time::{sleep, timeout},
};

use self::way::{Broken, Way};
use super::{
    authorise::Permit,
    capacity::ConnectionSeat,
    connect::Upstream,
    lane::Lane,
    live::{Live, Tracked},
    stream::ResetOnDrop,
};
use crate::{net, telemetry::Denied};

/// A client and its upstream.
#[derive(Debug)]
pub(super) struct Joined {
    client: ResetOnDrop,
    upstream: Upstream,
    seat: ConnectionSeat,
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

// === impl Joined ===

impl Joined {
    /// Joins an authorised client to what was found for it.
    ///
    /// Boxed, since what an async function holds is moved about inside its future, which has room for each place.
    pub(super) fn new(permit: Permit, upstream: Upstream) -> Box<Self> {
        let captured = permit.into_identified().captured;
        Box::new(Self {
            client: captured.stream,
            upstream,
            seat: captured.seat,
        })
    }

    /// Ends both sides in order.
    fn close(self) {
        self.client.close();
        self.upstream.stream.close();
    }
}

// === impl Tracked ===

impl Tracked {
    /// Waits for the upstream, then copies until the end; the report follows when `self` is dropped.
    ///
    /// What opens the connection comes boxed, so that an open one does not keep the room that this takes.
    pub(super) async fn carry(
        &self,
        joining: Pin<Box<impl Future<Output = Result<Box<Joined>, Denied>>>>,
        lane: &Lane,
    ) {
        let joined = match self.unless_cut(joining).await {
            Ok(joined) => joined,
            Err(denied) => return self.deny(denied),
        };
        self.connected();
        let ended = self.unless_cut(pin!(copy(&joined, self, lane))).await;
        match ended {
            Ok(End::Finished) => joined.close(),
            // Both sides are reset by being dropped.
            Ok(End::Reset) => {}
            Err(denied) => self.deny(denied),
        }
    }
}

async fn copy(joined: &Joined, live: &Live, lane: &Lane) -> Result<End, Denied> {
    let (client, upstream): (&TcpStream, &TcpStream) = (&joined.client, &joined.upstream.stream);
    let door = &joined.seat.door;
    let mut sending = Way::new(client, upstream, &live.sent);
    let mut receiving = Way::new(upstream, client, &live.received);
    // A side that is not being read tells of its end by an error only.
    let mut client_error = pin!(client.ready(Interest::ERROR));
    let mut upstream_error = pin!(upstream.ready(Interest::ERROR));

    let broken = poll_fn(|cx| {
        let sent = sending.poll(cx, lane, door);
        let received = receiving.poll(cx, lane, door);
        let broken = match (sent, received) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(None)),
            (Poll::Ready(Err(Broken::Buffers(denied))), _) | (_, Poll::Ready(Err(Broken::Buffers(denied)))) => {
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

//! The server's side of a connection between agents: streams, one after the other.

use std::{future::poll_fn, rc::Rc, time::Duration};

use tokio::{task::spawn_local, time::timeout};

use super::{
    captured::{Arrival, Captured},
    carrier::{Carrier, Opening},
    copy::{Ends, Heard, Joined},
    dial::Secured,
    http, identify, inbound,
    lane::Lane,
    live::{Live, Tracked},
    wire::{HEAD, Header, Kind, Role, Status, frame_head},
};
use crate::{
    telemetry::{Denied, Security, TlsSide},
    tls::{self, Protocol},
};

/// A stream that another agent has begun.
struct Begun {
    carrier: Box<Carrier>,
    header: Box<Header>,
    /// What has come of the client already.
    early: Vec<u8>,
    heard: Heard,
}

/// Shakes hands, and serves streams until the connection is over or the pod leaves.
///
/// The first stream's report is that of the connection: it tells too when the handshake fails.
pub(super) async fn serve(captured: Captured, first: Vec<u8>, tracked: Tracked, lane: Rc<Lane>) {
    let Captured { stream, arrival } = captured;
    let shaking = Box::pin(async {
        let identities = &lane.shared.identities;
        let credentials = timeout(HANDSHAKE, identities.issued(&arrival.door().pod.uid))
            .await
            .map_err(|_elapsed| Denied::NoCertificate)?;
        let handshake = timeout(HANDSHAKE, tls::accept(&stream, &credentials, first)).await;
        let established = handshake.map_err(|_elapsed| Denied::TlsFailed)?.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, client = %arrival.client, "TLS handshake failed");
            error.denied()
        })?;
        lane.shared.telemetry.shook_hands(TlsSide::Server, established.resumed);
        Ok(established)
    });
    let established = match tracked.unless_cut(shaking).await {
        Ok(established) => established,
        Err(denied) => return tracked.deny(denied),
    };
    match established.protocol {
        Protocol::Tcp => {}
        Protocol::Http1 => {
            let secured = Secured { stream, established };
            // Apart: an open connection does not keep the room of streams.
            return drop(spawn_local(http::serve_agent(secured, arrival, tracked, lane)));
        }
        Protocol::Http2 => return tracked.deny(Denied::ProtocolViolation),
    }
    let mut carrier = Box::new(Carrier::new(stream, established, Role::Server, lane.next_id()));
    let mut tracked = Some(tracked);
    loop {
        let beginning = begin(carrier, &lane);
        let begun = if tracked.is_some() {
            // Who has just been let in is served, though the pod may be leaving.
            Some(beginning.await)
        } else {
            let closing = arrival.door().closing.clone();
            let going_on = lane.stopping.run_until_cancelled(beginning);
            closing.run_until_cancelled(going_on).await.flatten()
        };
        let Some(begun) = begun else { return };
        let begun = match begun {
            Ok(begun) => begun,
            Err(None) => return forget(tracked),
            Err(Some(denied)) => {
                let tracked = tracked.unwrap_or_else(|| lane.track(&arrival));
                return tracked.deny(denied);
            }
        };
        let of_stream = tracked.take().unwrap_or_else(|| lane.track(&arrival));
        let joining = Box::pin(join(begun, &arrival, &of_stream, &lane));
        match of_stream.carry(joining, &arrival, &lane).await {
            Some(free) => carrier = free,
            None => return,
        }
    }
}

/// Waits for the next stream; the error is none where the connection has only ended.
async fn begin(mut carrier: Box<Carrier>, lane: &Lane) -> Result<Begun, Option<Denied>> {
    let received = timeout(
        LONGEST_IDLE,
        poll_fn(|cx| {
            if let std::task::Poll::Ready(Err(error)) = carrier.poll_flush(cx) {
                return std::task::Poll::Ready(Err(error));
            }
            carrier.poll_receive(FIRST_BYTES, lane, cx)
        }),
    );
    let Ok(received) = received.await else {
        carrier.close(lane);
        return Err(None);
    };
    let received = received.map_err(|error| {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "A connection between agents ends"
        );
        error.denied()
    })?;
    let Some(Opening::Header(header)) = received.opening else {
        return Err(Some(Denied::ProtocolViolation));
    };
    let early = lane.plain.borrow().clone();
    Ok(Begun {
        carrier,
        header,
        early,
        heard: Heard {
            ended: received.end,
            broken: false,
        },
    })
}

/// Joins a stream to the application, and answers it.
async fn join(begun: Begun, arrival: &Arrival, live: &Live, lane: &Rc<Lane>) -> Result<Box<Joined>, Denied> {
    let Begun {
        mut carrier,
        header,
        early,
        heard,
    } = begun;
    live.secured(Security::MutualTls, None);
    if let Some((service, _)) = &header.service {
        live.asked_for(service);
    }
    let joined = async {
        let identified = identify::stream(arrival, &carrier.peer, *header)?;
        inbound::to_app(identified, live, lane).await
    };
    let status = |status: Status| {
        let [kind, high, middle, low] = frame_head(Kind::Status, 1);
        let words: [u8; HEAD + 1] = [kind, high, middle, low, status.code()];
        words
    };
    match joined.await {
        Ok((app, kept)) => {
            // A carrier that is gone is found so by the copy.
            let answered = carrier.send(&status(Status::Accepted), lane);
            answered.or_else(|error| error.denied().map_or(Ok(()), Err))?;
            Ok(Box::new(Joined {
                ends: Ends::FromMesh { carrier, app, heard },
                early,
                _kept: kept,
            }))
        }
        Err(denied) => {
            // The peer learns it or has gone.
            if carrier.send(&status(Status::Refused(denied)), lane).is_ok() {
                // Apart: the refused stream is over at once.
                spawn_local(carrier.farewell());
            }
            Err(denied)
        }
    }
}

/// A connection that never carried a stream is nobody's.
fn forget(tracked: Option<Tracked>) {
    if let Some(tracked) = tracked {
        tracked.forget();
    }
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next stream: longer than clients keep them.
const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How much of a stream is read before it is joined.
const FIRST_BYTES: usize = 16 * 1024;

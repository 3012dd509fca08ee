//! The server's side of a connection between agents: streams, one after the other.

use std::{future::poll_fn, rc::Rc, sync::Arc, time::Duration};

use tokio::{task::spawn_local, time::timeout};

use super::{
    captured::{Arrival, Captured},
    carrier::{Carrier, Opening},
    copy::{Ends, Heard, Joined},
    detect::{self, Declared, Greeting, HttpVersion},
    dial::Secured,
    http::{self, RequestStream},
    identify::{self, RemotePod},
    inbound,
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

/// What a stream carries, as this agent knows its port.
enum Carries {
    /// Bytes, whose application is reached.
    Bytes(Box<Joined>),
    /// Requests, whatever the client's agent takes them for.
    Requests(Box<RequestStream>),
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
    let requests = match established.protocol {
        Protocol::Tcp => None,
        Protocol::Http1 => Some(HttpVersion::One),
        Protocol::Http2 => Some(HttpVersion::Two),
    };
    if let Some(version) = requests {
        let secured = Secured { stream, established };
        // Apart: an open connection does not keep the room of streams.
        return drop(spawn_local(http::serve_agent(secured, version, arrival, tracked, lane)));
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
        let free = match of_stream.unless_cut(joining).await {
            Ok(Carries::Bytes(joined)) => of_stream.copy(joined, &arrival, &lane).await,
            // The last stream of the connection. Apart, as above.
            Ok(Carries::Requests(stream)) => {
                return drop(spawn_local(http::serve_stream(stream, arrival, of_stream, lane)));
            }
            Err(denied) => return of_stream.deny(denied),
        };
        match free {
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

/// Joins a stream to the application, or to who serves requests, and answers it.
///
/// Where a port is declared as HTTP here, its client's agent is not believed that these are mere bytes.
async fn join(begun: Begun, arrival: &Arrival, live: &Live, lane: &Rc<Lane>) -> Result<Carries, Denied> {
    let Begun {
        mut carrier,
        header,
        mut early,
        mut heard,
    } = begun;
    live.secured(Security::MutualTls, None);
    let service = header.service.as_ref().map(|(service, _)| service.clone());
    if let Some(service) = &service {
        live.asked_for(service);
    }
    let declared = detect::at(arrival.destination.0, &lane.shared.mesh());
    let joined = async {
        let client = Arc::new(RemotePod::new(*header, &carrier.peer, arrival.client)?);
        let identified = identify::told(arrival, client.clone());
        let app = match declared {
            Declared::Http => {
                inbound::admit(identified, live, lane)?;
                None
            }
            Declared::Opaque | Declared::Unknown => Some(inbound::to_app(identified, live, lane).await?),
        };
        Ok((client, app))
    };
    let status = |status: Status| {
        let [kind, high, middle, low] = frame_head(Kind::Status, 1);
        let words: [u8; HEAD + 1] = [kind, high, middle, low, status.code()];
        words
    };
    match joined.await {
        Ok((client, app)) => {
            // A carrier that is gone is found so by the copy.
            let answered = carrier.send(&status(Status::Accepted), lane);
            answered.or_else(|error| error.denied().map_or(Ok(()), Err))?;
            let (app, kept) = match app {
                Some(app) => app,
                None => {
                    let version = version(&mut carrier, &mut early, &mut heard, lane).await?;
                    return Ok(Carries::Requests(Box::new(RequestStream {
                        carrier,
                        early,
                        heard,
                        version,
                        client,
                        service,
                    })));
                }
            };
            Ok(Carries::Bytes(Box::new(Joined {
                ends: Ends::FromMesh { carrier, app, heard },
                early,
                _kept: kept,
            })))
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

/// Listens to a stream that must carry requests until their version is clear, as to a socket.
async fn version(
    carrier: &mut Carrier,
    early: &mut Vec<u8>,
    heard: &mut Heard,
    lane: &Lane,
) -> Result<HttpVersion, Denied> {
    let mut greeting = Greeting::new(lane);
    loop {
        if let Some(version) = detect::version_of(early) {
            return Ok(version);
        }
        if heard.ended.is_some() {
            return Ok(HttpVersion::One);
        }
        let more = poll_fn(|cx| carrier.poll_receive(FIRST_BYTES, lane, cx));
        let Some(received) = greeting.more(!early.is_empty(), more).await? else {
            return Ok(HttpVersion::One);
        };
        let received = received.map_err(|error| error.denied().unwrap_or(Denied::ClientGone))?;
        early.extend_from_slice(&lane.plain.borrow());
        heard.ended = received.end;
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
/// How long a connection may wait for its next stream, or request: longer than clients keep them.
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How much of a stream is read before it is joined.
const FIRST_BYTES: usize = 16 * 1024;

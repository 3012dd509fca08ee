//! A connection that was opened to a pod of this node: an application's bytes, or another agent's streams.

use std::{cell::Cell, pin::pin, rc::Rc};

use tokio::task::spawn_local;

use super::{
    authorise::{self, Permit},
    balance,
    captured::{Arrival, Captured},
    connect::{self, Kept, Through, Upstream},
    copy::{Ends, Joined},
    detect::{self, Detecting, PortKey, Protocol, Raced, has_spoken},
    dial::Line,
    http::{self, Client},
    identify::{self, Identified},
    lane::Lane,
    lease,
    live::{Live, Tracked},
    recognise::{First, Guard, Judged, recognise},
    route::route,
    stream::ResetOnDrop,
    streams,
};
use crate::{
    telemetry::{Denied, Peer, Security},
    tls,
};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let tracked = lane.track(&captured.arrival);
    // Boxed: an open connection does not keep the room of its beginning.
    let recognising =
        Box::pin(async { Ok(recognise(&captured.stream, captured.arrival.tuple(), &lane.shared.leases).await) });
    match tracked.unless_cut(recognising).await {
        Ok(First::Plaintext(guard)) => {
            let Captured { stream, arrival } = captured;
            let beginning = Box::pin(begin(stream, guard, &arrival, &tracked, &lane));
            match tracked.unless_cut(beginning).await {
                Ok(Begun::Bytes(joined)) => {
                    tracked.copy(joined, &arrival, &lane).await;
                }
                // As below.
                Ok(Begun::Requests(client)) => drop(spawn_local(http::serve_plaintext(client, arrival, tracked, lane))),
                Err(denied) => tracked.deny(denied),
            }
        }
        // In a task of its own: an open connection does not keep the room of what was looked for here.
        Ok(First::Mesh(first)) => drop(spawn_local(streams::serve(captured, first, tracked, lane))),
        Ok(First::Lease(claim)) => {
            tracked.forget();
            lease::serve_far_end(captured, claim).await;
        }
        Ok(First::Gone) => {}
        Err(denied) => tracked.deny(denied),
    }
}

/// What a connection turned out to be.
enum Begun {
    /// Bytes, whose application is reached.
    Bytes(Box<Joined>),
    /// Requests.
    Requests(Box<Client>),
}

/// Joins a plaintext client to the application, unless it speaks HTTP.
async fn begin(
    mut stream: ResetOnDrop,
    mut guard: Guard,
    arrival: &Arrival,
    live: &Tracked,
    lane: &Rc<Lane>,
) -> Result<Begun, Denied> {
    let (early, guard) = match guard.judge(&[]) {
        Judged::Hold => (Vec::new(), Some(Box::new(guard))),
        Judged::Pass(early) => (early, None),
        Judged::Refuse => return Err(Denied::ProtocolViolation),
    };
    live.secured(Security::Plaintext, None);
    let mesh = lane.shared.mesh();
    let permit = admit(identify::plaintext(arrival), live, lane)?;

    let destination = arrival.destination.0;
    let detecting = Detecting::new(detect::at(destination, &mesh), PortKey::Address(destination), lane);
    let held: Vec<u8> = guard
        .as_ref()
        .map_or_else(|| early.clone(), |guard| guard.held_bytes().to_vec());
    let known = detecting.before_dialling(&stream, &held).await;
    let known = known.inspect_err(|denied| stream.finish_if_idle(*denied))?;
    if let Some(Protocol::Http(version)) = known {
        return Ok(Begun::Requests(Client::boxed(stream, held, version)));
    }
    let listens = Cell::new(known.is_none());
    let reaching = pin!(reach(&permit, live, lane));
    let raced = detecting.while_joining(&stream, &held, &listens, reaching).await?;
    let (upstream, kept) = match raced {
        Raced::Joined(reached) => reached,
        Raced::Http(version) => return Ok(Begun::Requests(Client::boxed(stream, held, version))),
    };
    if listens.get() {
        live.connected();
        if let Protocol::Http(version) = detecting.first(&stream, &held, has_spoken(&upstream)).await {
            return Ok(Begun::Requests(Client::boxed(stream, held, version)));
        }
    }
    Ok(Begun::Bytes(Box::new(Joined {
        ends: Ends::Sockets {
            client: stream,
            upstream,
            guard,
        },
        early,
        _kept: kept,
    })))
}

/// Connects an identified client, whichever way it came, to the application.
pub(super) async fn to_app(
    identified: Identified<'_>,
    live: &Live,
    lane: &Rc<Lane>,
) -> Result<(ResetOnDrop, Kept), Denied> {
    let permit = admit(identified, live, lane)?;
    reach(&permit, live, lane).await
}

/// Notes who an identified client is, and authorises it.
pub(super) fn admit<'a>(identified: Identified<'a>, live: &Live, lane: &Lane) -> Result<Permit<'a>, Denied> {
    live.opened_by(&identified.source, &lane.shared.mesh());
    authorise::ingress(identified, live, &lane.shared)
}

/// Connects an authorised client to the application.
async fn reach(permit: &Permit<'_>, live: &Live, lane: &Rc<Lane>) -> Result<(ResetOnDrop, Kept), Denied> {
    let route = route(permit, Protocol::Opaque);
    let arrival = permit.identified().arrival;
    let door = arrival.door();
    let picked = balance::pick(&route, arrival, &[], &lane.shared.loads)?;
    live.picked(Peer {
        address: picked.address,
        pod: Some(door.pod.name.clone()),
    });
    let through = Through::App(door.clone());
    let Upstream { line, ports, .. } =
        connect::connect(picked.address, arrival, &through, tls::Protocol::Tcp, lane).await?;
    let kept = Kept::new(picked, ports);
    match line {
        Line::Plaintext(app) => Ok((app, kept)),
        // An application is reached inside its own namespace.
        Line::Mesh { .. } | Line::Requests(_) => Err(Denied::AgentError),
    }
}

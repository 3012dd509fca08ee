//! A connection that was opened to a pod of this node: an application's bytes, or another agent's streams.

use std::rc::Rc;

use tokio::task::spawn_local;

use super::{
    authorise, balance,
    captured::{Arrival, Captured},
    connect::{self, Through, Upstream},
    copy::{Ends, Joined},
    detect::detect,
    dial::Line,
    identify::{self, Identified},
    lane::Lane,
    lease,
    live::Live,
    recognise::{First, Guard, Judged, recognise},
    route::route,
    stream::ResetOnDrop,
    streams,
};
use crate::telemetry::{Denied, Peer};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let tracked = lane.track(&captured.arrival);
    // Boxed: an open connection does not keep the room of its beginning.
    let recognising =
        Box::pin(async { Ok(recognise(&captured.stream, captured.arrival.tuple(), &lane.shared.leases).await) });
    match tracked.unless_cut(recognising).await {
        Ok(First::Plaintext(guard)) => {
            let Captured { stream, arrival } = captured;
            let joining = Box::pin(join(stream, guard, &arrival, &tracked, &lane));
            tracked.carry(joining, &arrival, &lane).await;
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

/// Joins a plaintext client to the application.
async fn join(
    stream: ResetOnDrop,
    mut guard: Guard,
    arrival: &Arrival,
    live: &Live,
    lane: &Rc<Lane>,
) -> Result<Box<Joined>, Denied> {
    let (early, guard) = match guard.judge(&[]) {
        Judged::Hold => (Vec::new(), Some(Box::new(guard))),
        Judged::Pass(early) => (early, None),
        Judged::Refuse => return Err(Denied::ProtocolViolation),
    };
    let identified = identify::plaintext(arrival);
    let (upstream, kept) = to_app(identified, live, lane).await?;
    Ok(Box::new(Joined {
        ends: Ends::Sockets {
            client: stream,
            upstream,
            guard,
        },
        early,
        _kept: kept,
    }))
}

/// Connects an identified client, whichever way it came, to the application.
pub(super) async fn to_app(
    identified: Identified<'_>,
    live: &Live,
    lane: &Rc<Lane>,
) -> Result<(ResetOnDrop, connect::Kept), Denied> {
    let mesh = lane.shared.mesh();
    live.opened_by(&identified.source, &mesh);
    let permit = authorise::ingress(identified, live, &lane.shared)?;
    let protocol = detect(&permit);
    let route = route(&permit, protocol);

    let arrival = permit.identified().arrival;
    let door = arrival.door();
    let picked = balance::pick(&route, arrival, &[], &lane.shared.loads)?;
    live.picked(Peer {
        address: picked.address,
        pod: Some(door.pod.name.clone()),
    });
    let Upstream { line, kept, .. } = connect::connect(picked, arrival, &Through::App(door.clone()), lane).await?;
    match line {
        Line::Plaintext(app) => Ok((app, kept)),
        // An application is reached inside its own namespace.
        Line::Mesh { .. } => Err(Denied::AgentError),
    }
}

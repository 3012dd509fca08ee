//! A connection that was opened to a pod of this node.

use std::rc::Rc;

use super::{
    authorise, balance,
    captured::Captured,
    connect::{self, Through},
    copy::Joined,
    detect::detect,
    identify,
    lane::Lane,
    live::Live,
    route::route,
};
use crate::telemetry::{Denied, Peer};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let tracked = lane.track(&captured);
    let joining = Box::pin(join(captured, &tracked, &lane));
    tracked.carry(joining, &lane).await;
}

async fn join(captured: Captured, live: &Live, lane: &Lane) -> Result<Box<Joined>, Denied> {
    let door = captured.door().clone();
    let identified = identify::inbound(captured);
    let permit = authorise::ingress(identified);
    let protocol = detect(&permit);
    let route = route(&permit, protocol);

    let captured = &permit.identified().captured;
    let picked = balance::pick(&route, captured, &[], &lane.shared.loads)?;
    live.picked(Peer {
        address: picked.address,
        pod: Some(door.pod.name.clone()),
    });
    let upstream = connect::connect(picked, captured, &Through::App(door), &lane.shared).await?;
    Ok(Joined::new(permit, upstream))
}

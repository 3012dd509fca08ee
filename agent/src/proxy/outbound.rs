//! A connection that a pod of this node opened.

use std::{net::SocketAddr, rc::Rc};

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
use crate::{
    model::{Destination, Mesh, Unresolved},
    telemetry::{Denied, Peer},
};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let tracked = lane.track(&captured);
    let joining = Box::pin(join(captured, &tracked, &lane));
    tracked.carry(joining, &lane).await;
}

async fn join(captured: Captured, live: &Live, lane: &Lane) -> Result<Box<Joined>, Denied> {
    let mesh = lane.shared.mesh();
    let identified = identify::outbound(captured, &mesh).map_err(|(denied, Unresolved::NoSuchPort(service))| {
        live.asked_for(&service.name);
        denied
    })?;
    if let Destination::Service { service, .. } = &identified.wanted {
        live.asked_for(&service.name);
    }
    let permit = authorise::egress(identified, &mesh)?;
    let protocol = detect(&permit);
    let route = route(&permit, protocol);

    let captured = &permit.identified().captured;
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    let upstream = loop {
        // After a failure nobody else being left is no news; the failure is.
        let picked =
            balance::pick(&route, captured, &tried, &lane.shared.loads).map_err(|none| failure.unwrap_or(none))?;
        let address = picked.address;
        let through = through(address, &mesh, lane);
        live.picked(Peer {
            address,
            pod: mesh
                .endpoint_at(address)
                .and_then(|it| it.pod.as_ref())
                .map(|(_, name)| name.clone()),
        });
        match connect::connect(picked, captured, &through, &lane.shared).await {
            Ok(upstream) => {
                if let Through::App(door) = &through {
                    live.ends_here(door);
                }
                break upstream;
            }
            Err(denied) if tried.len() < RETRIES && elsewhere(denied) => {
                tried.push(address);
                failure = Some(denied);
            }
            Err(denied) => return Err(denied),
        }
    };
    Ok(Joined::new(permit, upstream))
}

/// An enrolled pod of this node is served in one pass, whoever the endpoint's slice says it is: its address tells.
fn through(address: SocketAddr, mesh: &Mesh, lane: &Lane) -> Through {
    let pod = mesh.pod_at(address.ip()).filter(|pod| pod.enrolled());
    let door = pod.and_then(|pod| lane.shared.door(&pod.uid));
    door.map_or(Through::Network, Through::App)
}

/// Whether another endpoint might do better.
fn elsewhere(denied: Denied) -> bool {
    matches!(
        denied,
        Denied::UpstreamRefused | Denied::UpstreamTimeout | Denied::UpstreamUnreachable
    )
}

/// How many other endpoints are tried.
const RETRIES: usize = 1;

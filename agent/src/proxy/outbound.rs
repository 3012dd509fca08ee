//! A connection that a pod of this node opened.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use super::{
    authorise::{self, Ground, Permit},
    balance::{self, Picked},
    captured::{Arrival, Captured},
    connect::{self, Kept, Through, Upstream},
    copy::{Ends, Joined},
    detect::detect,
    dial::{Line, Remote, dial},
    identify,
    lane::Lane,
    live::Live,
    open::{NotOpened, OpenStream, Opener},
    route::route,
    stream::ResetOnDrop,
    wire::Header,
};
use crate::{
    model::{Destination, Mesh, ObjectName, Unresolved},
    telemetry::{Denied, Peer, Security},
};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let Captured { stream, arrival } = captured;
    let tracked = lane.track(&arrival);
    let joining = Box::pin(join(stream, &arrival, &tracked, &lane));
    if let Some(carrier) = tracked.carry(joining, &arrival, &lane).await {
        lane.pool.put(arrival.door(), carrier, &lane);
    }
}

async fn join(stream: ResetOnDrop, arrival: &Arrival, live: &Live, lane: &Rc<Lane>) -> Result<Box<Joined>, Denied> {
    let mesh = lane.shared.mesh();
    let identified = identify::outbound(arrival, &mesh).map_err(|(denied, Unresolved::NoSuchPort(service))| {
        live.asked_for(&service.name);
        denied
    })?;
    live.opened_by(&identified.source, &mesh);
    let service = match &identified.wanted {
        Destination::Service { service, .. } => Some(service.name.clone()),
        Destination::Pod(_) | Destination::Unknown => None,
    };
    if let Some(service) = &service {
        live.asked_for(service);
    }
    let permit = authorise::egress(identified, live, &lane.shared)?;
    let protocol = detect(&permit);
    let route = route(&permit, protocol);

    let outgoing = Outgoing {
        arrival,
        service,
        permit,
        mesh,
        live,
        lane,
    };
    let mut opener = Opener::new(&stream);
    let mut tried: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    let (reached, kept) = loop {
        // After a failure nobody else being left is no news; the failure is.
        let picked =
            balance::pick(&route, arrival, &tried, &lane.shared.loads).map_err(|none| failure.unwrap_or(none))?;
        let address = picked.address;
        match outgoing.reach(picked, &mut opener).await {
            Ok(reached) => break reached,
            Err(denied) if tried.len() < RETRIES && elsewhere(denied) => {
                live.leave_endpoint();
                tried.push(address);
                failure = Some(denied);
            }
            Err(denied) => return Err(denied),
        }
    };
    let early = opener.early;
    Ok(Box::new(match reached {
        Reached::Socket(upstream) => Joined {
            ends: Ends::Sockets {
                client: stream,
                upstream,
                guard: None,
            },
            early,
            _kept: kept,
        },
        Reached::Stream(OpenStream {
            carrier,
            early: answered,
            heard,
        }) => {
            live.sent.set(early.len() as u64);
            Joined {
                ends: Ends::ToMesh {
                    client: stream,
                    carrier,
                    heard,
                },
                early: answered,
                _kept: kept,
            }
        }
    }))
}

/// An endpoint that was reached.
enum Reached {
    Socket(ResetOnDrop),
    Stream(OpenStream),
}

/// An authorised connection on its way to an endpoint.
struct Outgoing<'a> {
    arrival: &'a Arrival,
    service: Option<ObjectName>,
    permit: Permit<'a>,
    mesh: Arc<Mesh>,
    live: &'a Live,
    lane: &'a Rc<Lane>,
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// Reaches the endpoint that was picked.
    async fn reach(&self, picked: Picked, opener: &mut Opener<'_>) -> Result<(Reached, Kept), Denied> {
        let address = picked.address;
        let endpoint = self.mesh.endpoint_at(address);
        self.live.picked(Peer {
            address,
            pod: endpoint.and_then(|it| it.pod.as_ref()).map(|(_, name)| name.clone()),
        });
        let through = self.through(address).await?;
        let Upstream { line, in_memory, kept } = connect::connect(picked, self.arrival, &through, self.lane).await?;
        if in_memory && let Through::Lease(door) = &through {
            self.live.ends_here(door);
            self.live
                .secured(Security::SameNode, Some(identify::identity_of(door, &self.mesh)));
        }
        let reached = match (line, through) {
            (Line::Plaintext(upstream), _) => Reached::Socket(upstream),
            (line @ Line::Mesh { .. }, Through::Network(remote)) => {
                Reached::Stream(self.open(line, &remote, opener).await?)
            }
            // A pod that has just left the mesh is reached by a socket, as one of this node is.
            (Line::Mesh { .. }, Through::Lease(_) | Through::App(_)) => return Err(Denied::AgentError),
        };
        Ok((reached, kept))
    }

    /// How an address is reached: an enrolled pod of this node in one pass, whoever the endpoint's slice says it is.
    async fn through(&self, address: SocketAddr) -> Result<Through, Denied> {
        let shared = &self.lane.shared;
        let door = match self.mesh.pod_at(address.ip()).filter(|pod| pod.enrolled()) {
            Some(pod) => shared.door_soon(&pod.uid).await,
            None => None,
        };
        let Some(door) = door else {
            let remote = Remote::new(address, self.service.as_ref(), &self.mesh, self.lane);
            return Ok(Through::Network(remote));
        };
        authorise::local(&self.permit, &door, address.port(), self.live, shared)?;
        Ok(Through::Lease(door))
    }

    /// Opens a stream; a connection that turns out to be stale is replaced as often as one waits, then by a new one.
    async fn open(&self, mut line: Line, remote: &Remote, opener: &mut Opener<'_>) -> Result<OpenStream, Denied> {
        let header = header(self.arrival, self.service.as_ref());
        loop {
            let (carrier, reused) = match line {
                Line::Mesh { carrier, reused } => (carrier, reused),
                // It spoke mutual TLS a moment ago.
                Line::Plaintext(_) => return Err(Denied::PeerNotInMesh),
            };
            self.live.leave_endpoint();
            let ground = Ground::Egress {
                peer: carrier.peer.clone(),
            };
            self.live.stand_on(ground, &self.lane.shared)?;
            self.live
                .secured(Security::MutualTls, Some(carrier.peer.identity.clone()));
            match opener.open(carrier, &header, self.lane).await {
                Ok(stream) => return Ok(stream),
                Err(NotOpened::Stale) if reused => line = dial(remote, self.arrival.door(), self.lane).await?,
                Err(NotOpened::Stale) => return Err(Denied::UpstreamUnreachable),
                Err(NotOpened::Refused(denied)) => return Err(denied),
            }
        }
    }
}

fn header(arrival: &Arrival, service: Option<&ObjectName>) -> Header {
    let pod = &arrival.door().pod;
    Header {
        service: service.map(|name| (name.clone(), arrival.destination.0.port())),
        source: pod.name.clone(),
        labels: pod.labels.clone(),
        trace: None,
    }
}

/// Whether another endpoint might do better.
fn elsewhere(denied: Denied) -> bool {
    matches!(
        denied,
        Denied::UpstreamRefused
            | Denied::UpstreamTimeout
            | Denied::UpstreamUnreachable
            | Denied::PathRefused
            | Denied::PodGone
            | Denied::Drained
    )
}

/// How many other endpoints are tried.
const RETRIES: usize = 1;

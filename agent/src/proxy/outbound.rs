//! A connection that a pod of this node opened.

use std::{cell::Cell, net::SocketAddr, pin::pin, rc::Rc, sync::Arc};

use tokio::{net::TcpStream, task::spawn_local};

use super::{
    authorise::{self, Ground, Permit},
    balance::{self, Picked},
    captured::{Arrival, Captured},
    connect::{self, Kept, Through, Upstream},
    copy::{Ends, Joined},
    detect::{self, Declared, Detecting, PortKey, Protocol, Raced, declared, has_spoken},
    dial::{Line, Remote, dial},
    http::{self, Client},
    identify,
    lane::Lane,
    live::{Live, Tracked},
    open::{NotOpened, OpenStream, Opener},
    route::{Route, route, ruled},
    stream::ResetOnDrop,
    wire::Header,
};
use crate::{
    model::{Destination, Mesh, ObjectName, Unresolved},
    telemetry::{Denied, Peer, Security},
    tls,
};

/// Serves it, from its accept to its report.
pub(super) async fn serve(captured: Captured, lane: Rc<Lane>) {
    let Captured { stream, arrival } = captured;
    let tracked = lane.track(&arrival);
    let beginning = Box::pin(begin(stream, &arrival, &tracked, &lane));
    match tracked.unless_cut(beginning).await {
        Ok(Begun::Bytes(joined)) => {
            if let Some(carrier) = tracked.copy(joined, &arrival, &lane).await {
                lane.pool.put(arrival.door(), carrier, &lane);
            }
        }
        // In a task of its own: an open connection does not keep the room of what was looked for here.
        Ok(Begun::Requests(client)) => drop(spawn_local(http::serve_outbound(client, arrival, tracked, lane))),
        Err(denied) => tracked.deny(denied),
    }
}

/// What a connection turned out to be.
enum Begun {
    /// Bytes, whose upstream is found.
    Bytes(Box<Joined>),
    /// Requests, each of which finds its own.
    Requests(Box<Client>),
}

async fn begin(mut stream: ResetOnDrop, arrival: &Arrival, live: &Tracked, lane: &Rc<Lane>) -> Result<Begun, Denied> {
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
    let declared = declared(&identified, &mesh);
    let permit = authorise::egress(identified, live, &lane.shared)?;
    let port = arrival.destination.0.port();
    let port = match &service {
        Some(service) => PortKey::Service(service.clone(), port),
        None => PortKey::Address(arrival.destination.0),
    };
    let detecting = Detecting::new(declared, port, lane);
    let own = route(&permit, Protocol::Opaque);
    let ruled = ruled(&own, &stream, arrival, &mesh, live).await?;
    let known = match &ruled {
        // TCPRoutes and TLSRoutes are about bytes, whatever they are.
        Some(_) => Some(Protocol::Opaque),
        None => {
            let known = detecting.before_dialling(&stream, &[]).await;
            known.inspect_err(|denied| stream.finish_if_idle(*denied))?
        }
    };
    if let Some(Protocol::Http(version)) = known {
        live.carries_requests();
        return Ok(Begun::Requests(Client::boxed(stream, Vec::new(), version)));
    }
    let route = ruled.unwrap_or(own);
    let outgoing = Outgoing {
        arrival,
        service,
        permit,
        mesh,
        live,
        lane,
    };
    let mut early = Vec::new();
    let listening = Listening {
        client: &stream,
        detecting: &detecting,
        listens: Cell::new(known.is_none()),
        live,
    };
    let raced = outgoing.race(&route, listening, &mut early).await;
    let raced = raced.inspect_err(|denied| stream.finish_if_idle(*denied))?;
    let (reached, kept) = match raced {
        Raced::Joined(joined) => joined,
        Raced::Http(version) => {
            live.carries_requests();
            return Ok(Begun::Requests(Client::boxed(stream, early, version)));
        }
    };
    Ok(Begun::Bytes(Box::new(match reached {
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
    })))
}

/// A client that is listened to while an upstream is found for its bytes.
struct Listening<'a> {
    client: &'a TcpStream,
    detecting: &'a Detecting<'a>,
    /// Until it is clear that the client speaks no HTTP; its words stay in its socket.
    listens: Cell<bool>,
    live: &'a Tracked,
}

/// An endpoint that was reached.
enum Reached {
    Socket(ResetOnDrop),
    Stream(OpenStream),
}

/// An authorised connection on its way to an endpoint.
pub(super) struct Outgoing<'a> {
    pub(super) arrival: &'a Arrival,
    /// That the client asked for.
    pub(super) service: Option<ObjectName>,
    pub(super) permit: Permit<'a>,
    pub(super) mesh: Arc<Mesh>,
    pub(super) live: &'a Live,
    pub(super) lane: &'a Rc<Lane>,
}

// === impl Reached ===

impl Reached {
    /// Waits until the endpoint says something, or only ends.
    async fn spoken(&mut self, lane: &Lane) -> bool {
        match self {
            Self::Socket(upstream) => has_spoken(upstream).await,
            Self::Stream(stream) => stream.spoken(lane).await,
        }
    }
}

// === impl Outgoing ===

impl Outgoing<'_> {
    /// Joins the client to an endpoint, unless it turns out to speak HTTP; what it says first goes to `early`.
    async fn race(
        &self,
        route: &Route,
        listening: Listening<'_>,
        early: &mut Vec<u8>,
    ) -> Result<Raced<(Reached, Kept)>, Denied> {
        let Listening {
            client,
            detecting,
            listens,
            live,
        } = listening;
        let mut opener = Opener::new(client, &listens);
        let raced = {
            let joining = pin!(self.join(route, &mut opener));
            detecting.while_joining(client, &[], &listens, joining).await?
        };
        *early = opener.early;
        let (mut reached, kept) = match raced {
            Raced::Joined(Raced::Joined(joined)) => joined,
            Raced::Joined(Raced::Http(version)) | Raced::Http(version) => return Ok(Raced::Http(version)),
        };
        if listens.get() {
            live.connected();
            let first = detecting.first(client, &[], reached.spoken(self.lane)).await;
            if let Protocol::Http(version) = first {
                return Ok(Raced::Http(version));
            }
        }
        Ok(Raced::Joined((reached, kept)))
    }

    /// Picks an endpoint and reaches it, or another one where that might do better.
    async fn join(&self, route: &Route, opener: &mut Opener<'_>) -> Result<Raced<(Reached, Kept)>, Denied> {
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut failure = None;
        loop {
            // After a failure nobody else being left is no news; the failure is.
            let picked = balance::pick(route, self.arrival, &tried, &self.lane.shared.loads)
                .map_err(|none| failure.unwrap_or(none))?;
            let address = picked.address;
            match self.reach(picked, route.service(), opener).await {
                Ok(reached) => return Ok(reached),
                Err(denied) if tried.len() < RETRIES && elsewhere(denied) => {
                    self.live.leave_endpoint();
                    tried.push(address);
                    failure = Some(denied);
                }
                Err(denied) => return Err(denied),
            }
        }
    }

    /// Reaches the endpoint that was picked, unless it gets no bytes: a pod of this node whose own port is declared as HTTP,
    /// whatever is declared of the way to it.
    async fn reach(
        &self,
        picked: Picked,
        serving: Option<&ObjectName>,
        opener: &mut Opener<'_>,
    ) -> Result<Raced<(Reached, Kept)>, Denied> {
        let address = picked.address;
        let endpoint = self.mesh.endpoint_at(address);
        self.live.picked(Peer {
            address,
            pod: endpoint.and_then(|it| it.pod.as_ref()).map(|(_, name)| name.clone()),
        });
        let through = self.through(address, serving).await?;
        if let Through::Lease(_) = through
            && detect::at(address, &self.mesh) == Declared::Http
        {
            return Ok(Raced::Http(opener.version(self.lane).await?));
        }
        let Upstream { line, in_memory, ports } =
            connect::connect(address, self.arrival, &through, tls::Protocol::Tcp, self.lane).await?;
        let kept = Kept::new(picked, ports);
        if in_memory && let Through::Lease(door) = &through {
            self.live.ends_here(door);
            self.live
                .secured(Security::SameNode, Some(identify::identity_of(door, &self.mesh)));
        } else if let Line::Plaintext(_) = &line {
            self.live.secured(Security::Plaintext, None);
        }
        let reached = match (line, through) {
            (Line::Plaintext(upstream), _) => Reached::Socket(upstream),
            (line @ Line::Mesh { .. }, Through::Network(remote)) => {
                Reached::Stream(self.open(line, &remote, opener).await?)
            }
            // A pod that has just left the mesh is reached by a socket, as one of this node is.
            (Line::Mesh { .. } | Line::Requests(_), _) => return Err(Denied::AgentError),
        };
        Ok(Raced::Joined((reached, kept)))
    }

    /// How an address is reached: an enrolled pod of this node in one pass, whoever the endpoint's slice says it is.
    ///
    /// `serving` is the service of which it is an endpoint.
    pub(super) async fn through(&self, address: SocketAddr, serving: Option<&ObjectName>) -> Result<Through, Denied> {
        let shared = &self.lane.shared;
        let door = match self.mesh.pod_at(address.ip()).filter(|pod| pod.enrolled()) {
            Some(pod) => shared.door_soon(&pod.uid).await,
            None => None,
        };
        let Some(door) = door else {
            let remote = Remote::new(address, serving, &self.mesh, self.lane);
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
                Line::Requests(_) => return Err(Denied::AgentError),
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
                Err(NotOpened::Stale) if reused => {
                    line = dial(remote, tls::Protocol::Tcp, self.arrival.door(), self.lane).await?;
                }
                Err(NotOpened::Stale) => return Err(Denied::UpstreamUnreachable),
                Err(NotOpened::Refused(denied)) => return Err(denied),
            }
        }
    }
}

pub(super) fn header(arrival: &Arrival, service: Option<&ObjectName>) -> Header {
    let pod = &arrival.door().pod;
    Header {
        service: service.map(|name| (name.clone(), arrival.destination.0.port())),
        source: pod.name.clone(),
        labels: pod.labels.clone(),
        trace: None,
    }
}

/// Whether another endpoint might do better.
pub(super) fn elsewhere(denied: Denied) -> bool {
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
pub(super) const RETRIES: usize = 1;

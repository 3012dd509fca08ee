//! Step eight: the connection to the endpoint.

use std::{cell::Cell, io, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, time::Duration};

use agent_common::mark;
use tokio::time::timeout;

use super::{
    Shared,
    balance::{Load, Picked},
    captured::Arrival,
    dial::{Line, Remote, dial},
    door::OpenDoor,
    lane::Lane,
    lease::{Between, lease},
    settings::SameNode,
    stream::ResetOnDrop,
    trouble::within,
};
use crate::{
    net::{Leg, LegError, Mark, NetError, SourcePort},
    telemetry::Denied,
    tls::Protocol,
};

/// The connection to the endpoint, with what is to be given back when it ends.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) line: Line,
    /// Whether the bytes pass to another pod of this node in memory.
    pub(super) in_memory: bool,
    pub(super) ports: LegPorts,
}

/// What an upstream gives back when it ends.
#[derive(Debug)]
pub(super) struct Kept {
    _load: Load,
    _ports: LegPorts,
}

/// How an endpoint is reached.
#[derive(Debug)]
pub(super) enum Through {
    /// Over the network, from the source pod's namespace and with its address.
    Network(Remote),
    /// In memory, to another captured pod of this node: where the network lets it pass.
    Lease(Arc<OpenDoor>),
    /// Inside the captured pod's own namespace, in the client's name.
    App(Arc<OpenDoor>),
}

/// Source ports below the clients' range that a leg to an application keeps from others.
#[derive(Debug, Default)]
pub(super) struct LegPorts {
    _leg: Option<SourcePort>,
    _client: Option<SourcePort>,
}

/// Connects to the endpoint that was picked.
pub(super) async fn connect(
    address: SocketAddr,
    arrival: &Arrival,
    through: &Through,
    protocol: Protocol,
    lane: &Rc<Lane>,
) -> Result<Upstream, Denied> {
    let longest = lane.shared.settings.connect_timeout;
    let in_memory = Cell::new(false);
    let dialling = pin!(async {
        match through {
            Through::Network(remote) => {
                let line = dial(remote, protocol, arrival.door(), lane).await?;
                Ok((line, LegPorts::default()))
            }
            Through::Lease(door) => match leased(arrival, door, address, lane).await? {
                Leased::Pass => {
                    in_memory.set(true);
                    to_app(arrival, door, address, &lane.shared).await
                }
                Leased::HasLeft => {
                    let remote = Remote::new(address, None, &lane.shared.mesh(), lane);
                    let line = dial(&remote, protocol, arrival.door(), lane).await?;
                    Ok((line, LegPorts::default()))
                }
            },
            Through::App(door) => to_app(arrival, door, address, &lane.shared).await,
        }
    });
    let (line, ports) = arrival.door().troubles.dial(address, longest, dialling).await?;
    Ok(Upstream {
        line,
        in_memory: in_memory.get(),
        ports,
    })
}

// === impl Kept ===

impl Kept {
    pub(super) fn new(picked: Picked, ports: LegPorts) -> Self {
        Self {
            _load: picked.into_load(),
            _ports: ports,
        }
    }
}

/// What a lease says.
pub(super) enum Leased {
    /// The network lets the connection pass.
    Pass,
    /// The pod leaves the mesh: its application is reached as any other.
    HasLeft,
}

/// Whether the network lets the connection pass to another captured pod of this node.
pub(super) async fn leased(
    arrival: &Arrival,
    door: &OpenDoor,
    address: SocketAddr,
    lane: &Rc<Lane>,
) -> Result<Leased, Denied> {
    let needed = match lane.shared.settings.same_node {
        // A pod needs no lease to reach itself: the way between never leaves it.
        SameNode::Leased => arrival.door().pod.uid != door.pod.uid,
        SameNode::Trusted => false,
    };
    if !needed {
        return Ok(Leased::Pass);
    }
    let Err(denied) = lease(arrival, address, lane).await else {
        return Ok(Leased::Pass);
    };
    // The kernel stops capturing a pod before the proxy hears of it.
    let left = timeout(LEAVING, door.closing.cancelled()).await;
    if left.is_err() || door.is_gone() {
        return Err(denied);
    }
    lane.shared.leases.forget(&Between::new(arrival, address));
    Ok(Leased::HasLeft)
}

/// Connects to an application of this node, from another port where one stalls or is taken.
async fn to_app(
    arrival: &Arrival,
    door: &OpenDoor,
    address: SocketAddr,
    shared: &Shared,
) -> Result<(Line, LegPorts), Denied> {
    let client = arrival.client;
    // The client's own tuple lives in the application's namespace where it came from outside.
    let occupied = shared.ports.occupy(client, address);
    for _ in 0..MOST_PORTS_TRIED {
        let leg = Leg::open(&door.netns, &shared.ports, client, address, LEG_MARK).map_err(no_leg)?;
        match within(LEG_PATIENCE, pin!(leg.connect())).await {
            Some(Ok((stream, port))) => {
                // An end within one kernel never falls silent, so that this leg needs no probes (see `net::tune`).
                let _ = stream.set_nodelay(true);
                let ports = LegPorts {
                    _leg: Some(port),
                    _client: occupied,
                };
                return Ok((Line::Plaintext(ResetOnDrop::new(stream)), ports));
            }
            Some(Err(error)) if taken(&error) => {}
            Some(Err(error)) => return Err(not_connected(&error)),
            None => {}
        }
    }
    Err(Denied::PortsExhausted)
}

/// Whether the tuple is somebody's already.
fn taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn no_leg(error: LegError) -> Denied {
    match error {
        LegError::Exhausted(_) => Denied::PortsExhausted,
        LegError::Net(error) => not_made(&error),
    }
}

pub(super) fn not_made(error: &NetError) -> Denied {
    if error.out_of_descriptors() {
        return Denied::DescriptorLimit;
    }
    tracing::warn!(error = error as &dyn std::error::Error, "A socket cannot be made");
    Denied::AgentError
}

pub(super) fn not_connected(error: &io::Error) -> Denied {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Denied::UpstreamRefused,
        io::ErrorKind::TimedOut => Denied::UpstreamTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::PermissionDenied => {
            Denied::UpstreamUnreachable
        }
        _ => {
            tracing::warn!(%error, "A connect failed for a reason which is not the network's");
            Denied::AgentError
        }
    }
}

/// How long it may take until the proxy hears that a pod leaves the mesh.
const LEAVING: Duration = Duration::from_millis(100);
/// A leg's packets take the pod's local route, and are not captured again.
const LEG_MARK: Mark = Mark(mark::CAPTURED | mark::OURS);
/// How long a leg may take inside one machine before its tuple is taken for somebody else's.
const LEG_PATIENCE: Duration = Duration::from_secs(1);
/// How many ports in a row may turn out to be taken.
const MOST_PORTS_TRIED: usize = 64;

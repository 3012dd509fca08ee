//! Step eight: the connection to the endpoint.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use agent_common::mark;
use tokio::net::TcpStream;

use super::{
    Shared,
    balance::{Load, Picked},
    captured::Captured,
    door::OpenDoor,
    stream::ResetOnDrop,
    trouble::within,
};
use crate::{
    net::{self, Family, Leg, LegError, Liveness, Mark, NetError, SourcePort},
    telemetry::Denied,
};

/// The connection to the endpoint, with what is to be given back when it ends.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) stream: ResetOnDrop,
    _load: Load,
    _ports: LegPorts,
}

/// How an endpoint is reached.
#[derive(Debug)]
pub(super) enum Through {
    /// Over the network, from the source pod's namespace and with its address.
    Network,
    /// Inside the captured pod's own namespace, in the client's name. Between nodes, mutual TLS ends before this.
    App(Arc<OpenDoor>),
}

/// Source ports below the clients' range that a leg to an application keeps from others.
#[derive(Debug, Default)]
struct LegPorts {
    _leg: Option<SourcePort>,
    _client: Option<SourcePort>,
}

/// Connects to the endpoint that was picked.
pub(super) async fn connect(
    picked: Picked,
    captured: &Captured,
    through: &Through,
    shared: &Shared,
) -> Result<Upstream, Denied> {
    let address = picked.address;
    let longest = shared.settings.connect_timeout;
    let dialling = pin!(async {
        match through {
            Through::Network => Ok((
                to_network(captured.door(), address, shared.settings.liveness).await?,
                LegPorts::default(),
            )),
            Through::App(door) => to_app(captured, door, address, shared).await,
        }
    });
    let (stream, ports) = captured.door().troubles.dial(address, longest, dialling).await?;
    Ok(Upstream {
        stream: ResetOnDrop::new(stream),
        _load: picked.into_load(),
        _ports: ports,
    })
}

async fn to_network(source: &OpenDoor, address: SocketAddr, liveness: Liveness) -> Result<TcpStream, Denied> {
    let socket =
        net::outbound(&source.netns, Family::of(address), Mark(mark::OURS)).map_err(|error| not_made(&error))?;
    let stream = socket.connect(address).await.map_err(|error| not_connected(&error))?;
    // Only a connection that the endpoint has already reset refuses options; the copy finds that out.
    let _ = net::tune(&stream, liveness);
    Ok(stream)
}

/// Connects to an application of this node, from another port where one stalls or is taken.
async fn to_app(
    captured: &Captured,
    door: &OpenDoor,
    address: SocketAddr,
    shared: &Shared,
) -> Result<(TcpStream, LegPorts), Denied> {
    let client = captured.client;
    // The client's own tuple lives in the application's namespace where it came from outside.
    let occupied = shared.ports.occupy(client, address);
    for _ in 0..MOST_PORTS_TRIED {
        let Leg { socket, port } = Leg::open(&door.netns, &shared.ports, client, address, LEG_MARK).map_err(no_leg)?;
        match within(LEG_PATIENCE, pin!(socket.connect(address))).await {
            Some(Ok(stream)) => {
                // An end within one kernel never falls silent, so that this leg needs no probes (see `net::tune`).
                let _ = stream.set_nodelay(true);
                let ports = LegPorts {
                    _leg: Some(port),
                    _client: occupied,
                };
                return Ok((stream, ports));
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

fn not_made(error: &NetError) -> Denied {
    if error.out_of_descriptors() {
        return Denied::DescriptorLimit;
    }
    tracing::warn!(error = error as &dyn std::error::Error, "A socket cannot be made");
    Denied::AgentError
}

fn not_connected(error: &io::Error) -> Denied {
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

/// A leg's packets take the pod's local route, and are not captured again.
const LEG_MARK: Mark = Mark(mark::CAPTURED | mark::OURS);
/// How long a leg may take inside one machine before its tuple is taken for somebody else's.
const LEG_PATIENCE: Duration = Duration::from_secs(1);
/// How many ports in a row may turn out to be taken.
const MOST_PORTS_TRIED: usize = 64;

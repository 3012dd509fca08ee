//! The agent's leg to an application: a socket in the pod's namespace that bears the client's address.

use std::{io, net::SocketAddr};

use tokio::net::TcpSocket;

use super::{Mark, NetError, NetNs, PortsExhausted, SourcePort, SourcePorts, transparent};

/// A socket that is ready to connect to an application in its client's name.
#[derive(Debug)]
pub struct Leg {
    /// The socket, bound to the client's address.
    pub socket: TcpSocket,
    /// Its port, to be kept as long as the connection lives.
    pub port: SourcePort,
}

/// Why there is no leg.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    /// Every port is taken.
    #[error(transparent)]
    Exhausted(#[from] PortsExhausted),
    /// The kernel refused.
    #[error(transparent)]
    Net(#[from] NetError),
}

// === impl Leg ===

impl Leg {
    /// Makes a leg from `client`, whose own port is ignored, to `destination`, an address of the namespace.
    ///
    /// A port at which something in the namespace listens on all addresses cannot be bound: the next one is tried.
    pub fn open(
        netns: &NetNs,
        ports: &SourcePorts,
        client: SocketAddr,
        destination: SocketAddr,
        mark: Mark,
    ) -> Result<Self, LegError> {
        let mut attempts = 0;
        loop {
            let port = ports.take(client.ip(), destination)?;
            let mut source = client;
            source.set_port(port.number());
            match transparent(netns, source, mark) {
                Ok(socket) => return Ok(Self { socket, port }),
                Err(NetError::Bind { source: error, .. })
                    if error.kind() == io::ErrorKind::AddrInUse && attempts < MOST_LISTENERS =>
                {
                    attempts += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// As many ports in a row may be taken by the namespace's own listeners.
const MOST_LISTENERS: usize = 64;

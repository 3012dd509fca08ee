//! The agent's leg to an application: a socket in the pod's namespace that bears the client's address.

use std::{io, net::SocketAddr};

use socket2::{SockAddr, Socket};
use tokio::net::TcpStream;

use super::{Mark, NetError, NetNs, PortsExhausted, SourcePort, SourcePorts, transparent};

/// A socket that is ready to connect to an application in its client's name.
#[derive(Debug)]
pub struct Leg {
    socket: Socket,
    port: SourcePort,
    destination: SocketAddr,
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
                Ok(socket) => {
                    return Ok(Self {
                        socket,
                        port,
                        destination,
                    });
                }
                Err(NetError::Bind { source: error, .. }) if error.kind() == io::ErrorKind::AddrInUse => {
                    attempts += 1;
                    if attempts == MOST_LISTENERS {
                        let client = client.ip();
                        return Err(PortsExhausted { client, destination }.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Connects; the port is to be kept as long as the connection lives.
    pub async fn connect(self) -> io::Result<(TcpStream, SourcePort)> {
        let Self {
            socket,
            port,
            destination,
        } = self;
        let progress = begin(&socket, &destination.into())?;
        let stream = TcpStream::from_std(socket.into())?;
        if progress == Progress::Waits {
            stream.writable().await?;
            stream.take_error()?.map_or(Ok(()), Err)?;
        }
        Ok((stream, port))
    }
}

/// How far a connect has come that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Done,
    Waits,
}

/// Begins to connect, and finishes where the other end answers within the call, as one in the same kernel does.
///
/// The answer lies in the socket's backlog until the call lets go of the socket (`release_sock`), so that the call itself
/// still says EINPROGRESS. A second one says how it went, and saves a wait for what has already happened.
fn begin(socket: &Socket, to: &SockAddr) -> io::Result<Progress> {
    for _ in 0..2 {
        match socket.connect(to) {
            Ok(()) => return Ok(Progress::Done),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EALREADY)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Progress::Waits)
}

/// As many ports in a row may be taken by the namespace's own listeners.
const MOST_LISTENERS: usize = 64;

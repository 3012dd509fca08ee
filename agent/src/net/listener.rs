//! Listeners inside a pod's namespace, to which sk_lookup hands the pod's connections.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::AsFd,
};

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

use super::{
    Family, Mark, NetError, NetNs, Sysctl,
    socket::{set_transparent, stream},
};

/// How long the queue of connections that wait for accept is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// As long as the namespace allows (`net.core.somaxconn`).
    Namespace,
    /// As said; the namespace's limit is raised where it is lower.
    AtLeast(u16),
}

/// Where listeners of a namespace may be: outside its `ip_local_port_range`, and on no port that the caller avoids.
///
/// A listener on 127.0.0.1:P makes an application's bind of 0.0.0.0:P fail, hence the care.
#[derive(Clone, Debug)]
pub struct ListenerPorts {
    ephemeral: (u16, u16),
    avoided: BTreeSet<u16>,
}

/// How long the queues of a namespace's listeners are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue(i32);

// === impl Backlog ===

impl Backlog {
    /// How long that is in a namespace, whose limit is raised where it is lower; once for all its listeners.
    pub fn queue(self, netns: &NetNs) -> Result<Queue, NetError> {
        let somaxconn = Sysctl::new("net/core/somaxconn");
        let [allowed] = somaxconn.numbers::<i32, 1>(netns)?;
        Ok(Queue(match self {
            Self::Namespace => allowed,
            Self::AtLeast(wanted) => {
                if allowed < wanted.into() {
                    somaxconn.write(netns, &wanted.to_string())?;
                }
                allowed.max(wanted.into())
            }
        }))
    }
}

// === impl ListenerPorts ===

impl ListenerPorts {
    /// Reads the namespace's range and takes the ports that its applications want.
    pub fn of(netns: &NetNs, avoided: impl IntoIterator<Item = u16>) -> Result<Self, NetError> {
        let [low, high] = Sysctl::new("net/ipv4/ip_local_port_range").numbers(netns)?;
        Ok(Self {
            ephemeral: (low, high),
            avoided: avoided.into_iter().collect(),
        })
    }

    /// The ports to try, from the top down: applications choose theirs at the bottom.
    pub fn candidates(&self) -> impl Iterator<Item = u16> {
        let (low, high) = self.ephemeral;
        (LOWEST..=u16::MAX)
            .rev()
            .filter(move |port| !(low..=high).contains(port) && !self.avoided.contains(port))
    }
}

/// Opens a transparent listener on the loopback address of a namespace, at a port which nobody else there uses.
pub fn listen(
    netns: &NetNs,
    family: Family,
    ports: &ListenerPorts,
    mark: Mark,
    queue: Queue,
) -> Result<TcpListener, NetError> {
    let socket = netns.run(|| stream(family))??;
    socket.set_mark(mark.0).map_err(NetError::call("SO_MARK"))?;
    set_transparent(&socket, family)?;
    set_own_family_only(&socket, family)?;
    bind_first_free(&socket, family, ports)?;
    // Accepted sockets inherit it. Their local address is the original destination, so each occupies the port number of
    // the far side in this namespace (`__inet_inherit_port`, 6.18), and an application that binds the same number would
    // get EADDRINUSE. Set behind bind(), which must find out whether the port is somebody's.
    socket.set_reuse_address(true).map_err(NetError::call("SO_REUSEADDR"))?;
    socket.listen(queue.0).map_err(NetError::call("listen"))?;
    Ok(socket.into())
}

/// Accepts whoever is first in the queue at this moment, whether the runtime has been told or not. Needs a tokio runtime.
pub fn accept_queued(listener: &impl AsFd) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    let (socket, client) = match SockRef::from(listener).accept() {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    socket.set_nonblocking(true)?;
    let client = client.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((TcpStream::from_std(socket.into())?, client)))
}

/// Keeps IPv4 out of an IPv6 socket: both families have a listener of their own.
pub(super) fn set_own_family_only(socket: &Socket, family: Family) -> Result<(), NetError> {
    match family {
        Family::V4 => Ok(()),
        Family::V6 => socket.set_only_v6(true).map_err(NetError::call("IPV6_V6ONLY")),
    }
}

/// Binds without `SO_REUSEADDR`, so that a port in use by anybody on any address is refused by the kernel.
pub(super) fn bind_first_free(socket: &Socket, family: Family, ports: &ListenerPorts) -> Result<(), NetError> {
    let loopback = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    for port in ports.candidates() {
        let address = SocketAddr::new(loopback, port);
        match socket.bind(&address.into()) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(NetError::Bind { address, source }),
        }
    }
    Err(NetError::NoListenerPort)
}

/// Below are the ports which the agent's legs to applications use, and the well-known ones.
const LOWEST: u16 = 32768;

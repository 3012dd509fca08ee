//! TCP sockets inside a namespace, made there and used from outside.

use std::{io, net::SocketAddr, os::fd::AsFd, time::Duration};

use netlink_packet_route::AddressFamily;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpSocket;

use super::{NetError, NetNs};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A value for `SO_MARK`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u32);

/// How a dead peer is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// How long a connection is silent before it is probed.
    pub idle: Duration,
    /// The time between two probes.
    pub interval: Duration,
    /// How long sent bytes or probes may stay without acknowledgement (`TCP_USER_TIMEOUT`).
    pub user_timeout: Duration,
}

// === impl Family ===

impl Family {
    /// The family of an address.
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl From<Family> for Domain {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::IPV4,
            Family::V6 => Self::IPV6,
        }
    }
}

impl From<Family> for AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Inet,
            Family::V6 => Self::Inet6,
        }
    }
}

// === impl Liveness ===

impl Default for Liveness {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(10),
            user_timeout: Duration::from_secs(60),
        }
    }
}

/// Makes a socket that connects from a namespace, with the namespace's own addresses.
pub fn outbound(netns: &NetNs, family: Family, mark: Mark) -> Result<TcpSocket, NetError> {
    let socket = netns.run(|| stream(family))??;
    socket.set_mark(mark.0).map_err(NetError::call("SO_MARK"))?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Makes a socket that connects from a namespace in the name of `client`, an address which is not of that namespace.
///
/// `SO_REUSEADDR` lets many such sockets share one address and port towards different peers.
pub(super) fn transparent(netns: &NetNs, client: SocketAddr, mark: Mark) -> Result<Socket, NetError> {
    let family = Family::of(client);
    let socket = netns.run(|| stream(family))??;
    socket.set_mark(mark.0).map_err(NetError::call("SO_MARK"))?;
    set_transparent(&socket, family)?;
    socket.set_reuse_address(true).map_err(NetError::call("SO_REUSEADDR"))?;
    socket.bind(&client.into()).map_err(|source| NetError::Bind {
        address: client,
        source,
    })?;
    Ok(socket)
}

/// Sets what every proxied connection needs: no delay of small writes, and an end for dead peers.
pub fn tune(connection: &impl AsFd, liveness: Liveness) -> io::Result<()> {
    let socket = SockRef::from(connection);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(liveness.idle)
            .with_interval(liveness.interval),
    )?;
    socket.set_tcp_user_timeout(Some(liveness.user_timeout))
}

/// Makes the connection's close a RST.
pub fn reset_on_close(connection: &impl AsFd) -> io::Result<()> {
    SockRef::from(connection).set_linger(Some(Duration::ZERO))
}

/// Makes a TCP socket in the calling thread's namespace.
pub(super) fn stream(family: Family) -> Result<Socket, NetError> {
    Socket::new(family.into(), Type::STREAM.nonblocking(), Some(Protocol::TCP)).map_err(NetError::call("socket"))
}

/// Lets a socket have addresses that are not the namespace's.
pub(super) fn set_transparent(socket: &Socket, family: Family) -> Result<(), NetError> {
    match family {
        Family::V4 => socket.set_ip_transparent_v4(true),
        Family::V6 => socket.set_ip_transparent_v6(true),
    }
    .map_err(NetError::call("IP_TRANSPARENT"))
}

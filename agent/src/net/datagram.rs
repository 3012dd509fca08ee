//! UDP sockets inside a namespace: those that take what was meant for others, and those that ask on.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd as _, RawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, setsockopt,
        sockopt::{Ipv4OrigDstAddr, Ipv4RecvErr, Ipv6OrigDstAddr, Ipv6RecvErr},
    },
};
use socket2::{Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use super::{
    Family, ListenerPorts, Mark, NetError, NetNs,
    listener::{bind_first_free, set_own_family_only},
    socket::set_transparent,
};

/// Takes datagrams whatever address they were sent to.
#[derive(Debug)]
pub struct CapturedDatagrams(UdpSocket);

/// A datagram whose bytes were put into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedDatagram {
    /// How many bytes it has.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// Whom it was meant for.
    pub original_destination: SocketAddr,
}

// === impl CapturedDatagrams ===

impl CapturedDatagrams {
    /// Opens the socket to which sk_lookup hands datagrams, at a port which nobody else there uses.
    pub fn open(
        netns: &NetNs,
        family: Family,
        ports: &ListenerPorts,
        mark: Mark,
    ) -> Result<std::net::UdpSocket, NetError> {
        let socket = datagram(netns, family, mark)?;
        prepare(&socket, family)?;
        bind_first_free(&socket, family, ports)?;
        Ok(socket.into())
    }

    /// Takes a socket that [`CapturedDatagrams::open`] has made into this thread's tokio runtime.
    pub fn new(socket: std::net::UdpSocket) -> Result<Self, NetError> {
        UdpSocket::from_std(socket)
            .map(Self)
            .map_err(NetError::call("register socket"))
    }

    /// The address family that it takes.
    pub fn family(&self) -> Result<Family, NetError> {
        self.0
            .local_addr()
            .map(Family::of)
            .map_err(NetError::call("getsockname"))
    }

    /// Waits for a datagram. May be cancelled.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<CapturedDatagram> {
        let fd = self.0.as_raw_fd();
        self.0.async_io(Interest::READABLE, || receive(fd, buffer)).await
    }
}

/// Makes a socket that sends to `peer` and receives from it alone, from an address of the namespace.
///
/// It fails also when a router says that there is no way: without IP_RECVERR the kernel reports a closed port only
/// (`__udp4_lib_err`).
pub fn connect_datagrams(netns: &NetNs, peer: SocketAddr, mark: Mark) -> Result<UdpSocket, NetError> {
    let socket = datagram(netns, Family::of(peer), mark)?;
    match Family::of(peer) {
        Family::V4 => setsockopt(&socket, Ipv4RecvErr, &true),
        Family::V6 => setsockopt(&socket, Ipv6RecvErr, &true),
    }
    .map_err(NetError::call("IP_RECVERR"))?;
    socket.connect(&peer.into()).map_err(NetError::call("connect"))?;
    UdpSocket::from_std(socket.into()).map_err(NetError::call("register socket"))
}

/// Lets a socket take what is meant for others, and tell whom.
fn prepare(socket: &Socket, family: Family) -> Result<(), NetError> {
    set_transparent(socket, family)?;
    set_own_family_only(socket, family)?;
    match family {
        Family::V4 => setsockopt(socket, Ipv4OrigDstAddr, &true),
        Family::V6 => setsockopt(socket, Ipv6OrigDstAddr, &true),
    }
    .map_err(NetError::call("IP_RECVORIGDSTADDR"))
}

fn datagram(netns: &NetNs, family: Family, mark: Mark) -> Result<Socket, NetError> {
    let socket = netns
        .run(|| Socket::new(family.into(), Type::DGRAM.nonblocking(), Some(Protocol::UDP)))?
        .map_err(NetError::call("socket"))?;
    socket.set_mark(mark.0).map_err(NetError::call("SO_MARK"))?;
    Ok(socket)
}

fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<CapturedDatagram> {
    let mut control = cmsg_space!(libc::sockaddr_in6);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket, &mut parts, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let original_destination = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4OrigDstAddr(address) => Some(v4(address.into())),
        ControlMessageOwned::Ipv6OrigDstAddr(address) => Some(v6(address.into())),
        _ => None,
    });
    let source = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|address| v4(*address));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| v6(*address)))
    });
    let (Some(source), Some(original_destination)) = (source, original_destination) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    Ok(CapturedDatagram {
        length: message.bytes,
        source,
        original_destination,
    })
}

fn v4(address: SockaddrIn) -> SocketAddr {
    SocketAddrV4::from(address).into()
}

fn v6(address: SockaddrIn6) -> SocketAddr {
    SocketAddrV6::from(address).into()
}

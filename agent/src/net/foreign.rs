//! Datagrams sent in the name of addresses that are not the namespace's, to addresses that are.
//!
//! A raw socket, since a UDP socket would have to bind the port it speaks from: where an application in the namespace has
//! that port on all addresses, as DNS servers do, it cannot.

use std::net::{IpAddr, SocketAddr};

use socket2::{Protocol, Socket, Type};

use super::{Family, Mark, NetError, NetNs};

#[cfg(test)]
mod tests;

/// Sends datagrams within a namespace in anybody's name. It receives nothing.
#[derive(Debug)]
pub struct ForeignSender {
    socket: Socket,
}

// === impl ForeignSender ===

impl ForeignSender {
    /// Opens a sender for one address family; needs CAP_NET_RAW.
    pub fn open(netns: &NetNs, family: Family, mark: Mark) -> Result<Self, NetError> {
        // IPPROTO_RAW: the sender writes the IP header itself, and no packet matches the socket.
        let raw = Some(Protocol::from(libc::IPPROTO_RAW));
        let socket = netns
            .run(|| Socket::new(family.into(), Type::RAW.nonblocking(), raw))?
            .map_err(NetError::call("raw socket"))?;
        socket.set_mark(mark.0).map_err(NetError::call("SO_MARK"))?;
        Ok(Self { socket })
    }

    /// Sends one datagram; both addresses are of the sender's family.
    pub fn send(&self, source: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<(), NetError> {
        let packet = packet(source, to, payload).ok_or(NetError::DatagramTooLong { length: payload.len() })?;
        // Raw IPv6 sockets refuse a port that is not their protocol's number.
        let mut destination = to;
        destination.set_port(0);
        self.socket
            .send_to(&packet, &destination.into())
            .map(drop)
            .map_err(NetError::call("sendto"))
    }
}

/// Builds an IP packet with a UDP datagram; none where a length does not fit its field or the families differ.
fn packet(source: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let datagram = datagram(source, to, payload)?;
    let length = u16::try_from(datagram.len()).ok()?;
    let mut packet = Vec::with_capacity(IPV6_HEADER + datagram.len());
    match (source.ip(), to.ip()) {
        (IpAddr::V4(source), IpAddr::V4(to)) => {
            // The kernel writes length, id and checksum (raw(7)).
            packet.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, HOPS, UDP, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&to.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(to)) => {
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[UDP, HOPS]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&to.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    packet.extend(datagram);
    Some(packet)
}

fn datagram(source: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let mut datagram = Vec::with_capacity(length.into());
    datagram.extend_from_slice(&source.port().to_be_bytes());
    datagram.extend_from_slice(&to.port().to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    let checksum = checksum(source.ip(), to.ip(), length, &datagram);
    datagram[CHECKSUM..UDP_HEADER].copy_from_slice(&checksum.to_be_bytes());
    Some(datagram)
}

/// The checksum of RFC 768 over the pseudo header and the datagram, whose own checksum field is 0.
fn checksum(source: IpAddr, to: IpAddr, length: u16, datagram: &[u8]) -> u16 {
    let pseudo = u64::from(UDP) + u64::from(length) + sum_of(source) + sum_of(to);
    let mut sum = pseudo + sum(datagram);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        // 0 says that there is no checksum.
        0 => 0xffff,
        checksum => checksum,
    }
}

fn sum_of(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => sum(&ip.octets()),
        IpAddr::V6(ip) => sum(&ip.octets()),
    }
}

/// Adds up words in network order; an odd last byte is a word's first.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)))
        .sum()
}

const UDP: u8 = libc::IPPROTO_UDP as u8;
const HOPS: u8 = 64;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
/// Where in the UDP header the checksum begins.
const CHECKSUM: usize = 6;

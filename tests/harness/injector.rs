//! An attacker with a packet socket: it follows the connections on an interface and adds bytes of its own to them.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendmsg, setsockopt, socket,
        sockopt,
    },
};

use crate::{Netns, Packet, Way, relay::PACKET_OUTGOING, segment::Segment};

/// Sees what leaves a namespace by one interface, as any pod with `CAP_NET_RAW` does in its own.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
    address: LinkAddr,
}

// === impl Injector ===

impl Injector {
    /// Follows the interface from here on.
    pub fn start(netns: &Netns, interface: &str) -> Self {
        netns.run(|| {
            let protocol = SockProtocol::EthAll;
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol);
            let socket = socket.expect("a packet socket can be made");
            setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20)).expect("root may enlarge a buffer");
            let address = getifaddrs()
                .expect("interfaces are listed")
                .filter(|found| found.interface_name == interface)
                .find_map(|found| found.address?.as_link_addr().copied());
            Self {
                socket,
                address: address.expect("the interface exists"),
            }
        })
    }

    /// Sends bytes as the next ones of each connection whose last segment is such; how many there are.
    pub fn inject(&self, such: impl Fn(&Packet) -> bool, payload: &[u8]) -> usize {
        let last = self.last_segments(such);
        for (packet, frame) in &last {
            let frame = next_of(frame, packet, payload);
            let sent = sendmsg(
                self.socket.as_raw_fd(),
                &[IoSlice::new(&frame)],
                &[],
                MsgFlags::empty(),
                Some(&self.address),
            );
            sent.expect("a packet socket takes a frame");
        }
        last.len()
    }

    /// The last segment that has left for each connection since the last look.
    fn last_segments(&self, such: impl Fn(&Packet) -> bool) -> Vec<(Packet, Vec<u8>)> {
        let mut last: Vec<(Packet, Vec<u8>)> = Vec::new();
        let mut frame = vec![0; 1 << 16];
        while let Ok((length, Some(from))) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame) {
            if from.ifindex() != self.address.ifindex() || from.pkttype() != PACKET_OUTGOING {
                continue;
            }
            let Some(packet) = Packet::parse(&frame[..length], Way::Out, &[]) else {
                continue;
            };
            if such(&packet) && !packet.is_udp() && !packet.is_syn() {
                last.retain(|(other, _)| other.source != packet.source || other.destination != packet.destination);
                last.push((packet, frame[..length].to_vec()));
            }
        }
        last
    }
}

/// The frame that follows this one, with these bytes.
fn next_of(frame: &[u8], packet: &Packet, payload: &[u8]) -> Vec<u8> {
    let is_v4 = packet.source.is_ipv4();
    let head = if is_v4 {
        usize::from(frame[ETHERNET] & 0x0f) * 4
    } else {
        40
    };
    let tcp = ETHERNET + head;
    let end = tcp + usize::from(frame[tcp + 12] >> 4) * 4;
    let mut next = [&frame[..end], payload].concat();
    let sequence = u32::from_be_bytes(frame[tcp + 4..tcp + 8].try_into().expect("four bytes"));
    let sequence = sequence.wrapping_add(packet.payload as u32);
    next[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
    next[tcp + 13] = PSH | ACK;
    let length = (next.len() - tcp) as u16;
    if is_v4 {
        let total = length + head as u16;
        next[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&total.to_be_bytes());
        next[ETHERNET + 10..ETHERNET + 12].fill(0);
        let sum = checksum(&next[ETHERNET..tcp]);
        next[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
    } else {
        next[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
    }
    Segment::of(&mut next).expect("it was a segment").sum();
    next
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

const ETHERNET: usize = 14;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

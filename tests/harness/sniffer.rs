//! What really passes in a namespace, as a packet socket sees it.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    net::if_::if_nametoindex,
    sys::{
        socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt},
        time::TimeVal,
    },
};

use crate::{Greeting, Netns, relay::PACKET_OUTGOING, segment::place_of};

/// Remembers the head of each TCP and UDP packet on one interface while it lives.
#[derive(Debug)]
pub struct Sniffer {
    packets: Arc<Mutex<Vec<Packet>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The head of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to.
    pub destination: SocketAddr,
    /// Whether the namespace sends or receives it.
    pub way: Way,
    /// TCP flags; none for UDP.
    pub flags: Option<Flags>,
    /// The options of a TCP segment.
    pub options: Options,
    /// The length of what TCP or UDP carries.
    pub payload: usize,
    /// Whether it carries the text that is looked for.
    pub tells: bool,
    /// Whether it begins with a ClientHello of TLS.
    pub hello: bool,
    /// What it says of the version of TLS, where it is the first of a handshake.
    pub greeting: Option<Greeting>,
}

/// The options of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Options {
    bytes: [u8; 40],
    length: usize,
}

/// Whether a packet leaves the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It comes in.
    In,
    /// It goes out.
    Out,
}

/// The flags of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

// === impl Sniffer ===

impl Sniffer {
    /// Starts to listen; all that passes after the return is seen.
    pub fn start(netns: &Netns, interface: &str) -> Self {
        Self::looking_for(netns, interface, "")
    }

    /// Starts to listen, and looks for a text in what TCP and UDP carry.
    pub fn looking_for(netns: &Netns, interface: &str, text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let (socket, index) = netns.run(|| {
            let protocol = SockProtocol::EthAll;
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
            let socket = socket.expect("a packet socket can be made");
            setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).expect("root may enlarge a buffer");
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000)).expect("a timeout can be set");
            (socket, if_nametoindex(interface).expect("the interface exists"))
        });
        let (packets, stop) = (Arc::default(), Arc::default());
        let thread = thread::spawn({
            let (packets, stop) = (Arc::clone(&packets), Arc::clone(&stop));
            move || listen(&socket, index as usize, &text, &packets, &stop)
        });
        Self {
            packets,
            stop,
            thread: Some(thread),
        }
    }

    /// How many of the packets seen so far are such.
    pub fn count(&self, such: impl Fn(&Packet) -> bool) -> usize {
        self.packets().iter().filter(|packet| such(packet)).count()
    }

    /// How many of the packets seen so far carry the text that is looked for.
    pub fn told(&self) -> usize {
        self.count(|packet| packet.tells)
    }

    /// The packets seen so far.
    pub fn packets(&self) -> Vec<Packet> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed; this one may be unwinding itself.
            let _ = thread.join();
        }
    }
}

// === impl Packet ===

impl Packet {
    /// Whether it opens a TCP connection.
    pub fn is_syn(&self) -> bool {
        self.flags.is_some_and(|Flags(flags)| flags & (SYN | ACK) == SYN)
    }

    /// Whether it answers what opens a TCP connection.
    pub fn is_syn_ack(&self) -> bool {
        self.flags.is_some_and(|Flags(flags)| flags & (SYN | ACK) == SYN | ACK)
    }

    /// Whether it resets a TCP connection.
    pub fn is_reset(&self) -> bool {
        self.flags.is_some_and(|Flags(flags)| flags & RST != 0)
    }

    /// Whether it is of UDP.
    pub fn is_udp(&self) -> bool {
        self.flags.is_none()
    }

    pub(crate) fn parse(frame: &[u8], way: Way, text: &[u8]) -> Option<Self> {
        let (kind, packet) = (frame.get(12..14)?, frame.get(14..)?);
        let (protocol, addresses, total, head): (u8, [IpAddr; 2], usize, usize) = match kind {
            [0x08, 0x00] => {
                let address =
                    |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
                let total = u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]);
                let head = usize::from(packet.first()? & 0x0f) * 4;
                (*packet.get(9)?, [address(12)?, address(16)?], total.into(), head)
            }
            [0x86, 0xdd] => {
                let address =
                    |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
                let payload = u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]);
                (
                    *packet.get(6)?,
                    [address(8)?, address(24)?],
                    usize::from(payload) + 40,
                    40,
                )
            }
            _ => return None,
        };
        let segment = packet.get(head..)?;
        let port = |at: usize| Some(u16::from_be_bytes([*segment.get(at)?, *segment.get(at + 1)?]));
        let (flags, own_head) = match protocol {
            6 => (Some(Flags(*segment.get(13)?)), usize::from(segment.get(12)? >> 4) * 4),
            17 => (None, 8),
            _ => return None,
        };
        Some(Self {
            source: SocketAddr::new(addresses[0], port(0)?),
            destination: SocketAddr::new(addresses[1], port(2)?),
            way,
            flags,
            options: flags.map_or(Options::NONE, |_| Options::of(segment.get(20..own_head))),
            payload: total.saturating_sub(head + own_head),
            hello: flags.is_some() && segment.get(own_head..).is_some_and(is_client_hello),
            greeting: flags.and_then(|_| Greeting::of(segment.get(own_head..)?)),
            tells: !text.is_empty() && segment.windows(text.len()).any(|window| window == text),
        })
    }
}

// === impl Options ===

impl Options {
    const NONE: Self = Self {
        bytes: [0; 40],
        length: 0,
    };

    /// The bytes of the first option of a kind, kind and length among them.
    pub fn find(&self, kind: u8) -> Option<&[u8]> {
        let options = &self.bytes[..self.length];
        options.get(place_of(options, kind)?)
    }

    fn of(segment: Option<&[u8]>) -> Self {
        let options = segment.unwrap_or_default();
        let mut bytes = [0; 40];
        bytes[..options.len()].copy_from_slice(options);
        Self {
            bytes,
            length: options.len(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..self.length]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a TLS record that holds a handshake (RFC 8446, 5.1) begins, and in it a ClientHello (4).
fn is_client_hello(payload: &[u8]) -> bool {
    matches!(payload, [22, 3, _, _, _, 1, ..])
}

fn listen(socket: &OwnedFd, index: usize, text: &[u8], packets: &Mutex<Vec<Packet>>, stop: &AtomicBool) {
    // Segments that the kernel has not cut yet (GSO) are as long as this.
    let mut frame = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        let (length, from) = match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) {
            Ok((length, Some(from))) => (length, from),
            Ok((_, None)) => continue,
            // The receive timeout: the flag is looked at again.
            Err(nix::Error::EAGAIN) => continue,
            // A link that went down is reported once and comes up again, or never.
            Err(nix::Error::ENETDOWN) => continue,
            Err(error) => panic!("the sniffer ended: {}", io::Error::from(error)),
        };
        if from.ifindex() != index {
            continue;
        }
        let way = if from.pkttype() == PACKET_OUTGOING {
            Way::Out
        } else {
            Way::In
        };
        if let Some(packet) = Packet::parse(&frame[..length], way, text) {
            packets.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
        }
    }
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

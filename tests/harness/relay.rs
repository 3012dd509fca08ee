//! A path that meddles: every frame between a pod and its node passes through a thread of the test.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendmsg, setsockopt, socket,
            sockopt,
        },
        time::TimeVal,
    },
};

use crate::{Netns, Node, Pod, Way, segment::Segment};

/// Stands between a pod and its node while it lives; after it the pod has no link.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _netns: Netns,
}

/// What becomes of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on, as it may have been changed.
    Passes,
    /// It is lost.
    Lost,
}

/// One of the two ends.
struct End {
    socket: OwnedFd,
    address: LinkAddr,
}

// === impl Relay ===

impl Relay {
    /// Takes the pod's link off the node's bridge and carries what passes. `meddle` sees each TCP segment with its way as
    /// the pod sees it.
    pub fn start(
        node: &Node,
        pod: &Pod,
        meddle: impl Fn(Way, &mut Segment<'_>) -> Fate + Send + Sync + 'static,
    ) -> Self {
        static RELAYS: AtomicU32 = AtomicU32::new(1);
        let number = RELAYS.fetch_add(1, Ordering::Relaxed);
        // In a namespace of its own: the node's would answer the pod's questions itself, and forward.
        let netns = Netns::create(&format!("{}relay{number}", node.lab().prefix));
        node.netns().ip(&format!(
            "link set {pod} nomaster netns {own}\n\
             link add relay{number} type veth peer name node netns {own}\nlink set relay{number} master cni0 up\n",
            pod = pod.link(),
            own = netns.name(),
        ));
        netns.ip(&format!("link set {} up\nlink set node up\n", pod.link()));
        let ends = || netns.run(|| [End::open(pod.link()), End::open("node")]);
        let ([from_pod, to_node], [to_pod, from_node]) = (ends(), ends());
        let (stop, meddle) = (Arc::new(AtomicBool::new(false)), Arc::new(meddle));
        let threads = [(from_pod, to_node, Way::Out), (from_node, to_pod, Way::In)]
            .into_iter()
            .map(|(from, to, way)| {
                let (stop, meddle) = (Arc::clone(&stop), Arc::clone(&meddle));
                thread::spawn(move || carry(&from, &to, &stop, |segment| meddle(way, segment)))
            })
            .collect();
        Self {
            stop,
            threads,
            _netns: netns,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Its panic was printed; this one may be unwinding itself.
            let _ = thread.join();
        }
    }
}

// === impl End ===

impl End {
    fn open(interface: &str) -> Self {
        let protocol = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
        let socket = socket.expect("a packet socket can be made");
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 20_000)).expect("a timeout can be set");
        let address = getifaddrs()
            .expect("interfaces are listed")
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address?.as_link_addr().copied());
        Self {
            socket,
            address: address.expect("the interface exists"),
        }
    }
}

fn carry(from: &End, to: &End, stop: &AtomicBool, meddle: impl Fn(&mut Segment<'_>) -> Fate) {
    let mut frame = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, Some(came))) = recvfrom::<LinkAddr>(from.socket.as_raw_fd(), &mut frame) else {
            continue;
        };
        if came.ifindex() != from.address.ifindex() || came.pkttype() == PACKET_OUTGOING {
            continue;
        }
        let frame = &mut frame[..length];
        let fate = Segment::of(frame).map_or(Fate::Passes, |mut segment| {
            let fate = meddle(&mut segment);
            segment.sum();
            fate
        });
        if fate == Fate::Passes {
            // A full queue is a lost packet, as on any path.
            let _ = sendmsg(
                to.socket.as_raw_fd(),
                &[IoSlice::new(frame)],
                &[],
                MsgFlags::empty(),
                Some(&to.address),
            );
        }
    }
}

/// `PACKET_OUTGOING` of linux/if_packet.h.
pub(crate) const PACKET_OUTGOING: u8 = 4;

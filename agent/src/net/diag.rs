//! TCP sockets of a namespace as the kernel lists them (sock_diag), and how to end one.

use std::net::SocketAddr;

use netlink_packet_sock_diag::{
    AF_INET, AF_INET6, IPPROTO_TCP, SockDiagDestroy, SockDiagMessage, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING,
    TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, TCP_TIME_WAIT,
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::{Mark, NetError, NetNs, netlink::Netlink, rule::unless};

/// A TCP socket as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSocket {
    /// Its own address.
    pub local: SocketAddr,
    /// The other end's address; unspecified for listeners.
    pub peer: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// The inode by which /proc/PID/fd names it; 0 when no process holds it.
    pub inode: u32,
    /// The user who made it.
    pub uid: u32,
    /// Its mark; none for those in TIME_WAIT and those not accepted yet.
    pub mark: Option<Mark>,
    /// Bytes not read yet; for listeners, connections not accepted yet.
    pub receive_queue: u32,
    /// Bytes not acknowledged yet; for listeners, the backlog.
    pub send_queue: u32,
    id: Id,
}

/// A TCP socket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// ESTABLISHED.
    Established,
    /// SYN_SENT.
    SynSent,
    /// SYN_RECV.
    SynReceived,
    /// FIN_WAIT1.
    FinWait1,
    /// FIN_WAIT2.
    FinWait2,
    /// TIME_WAIT.
    TimeWait,
    /// CLOSE.
    Closed,
    /// CLOSE_WAIT.
    CloseWait,
    /// LAST_ACK.
    LastAck,
    /// LISTEN.
    Listen,
    /// CLOSING.
    Closing,
}

/// Which sockets to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All but listeners.
    Connections,
    /// Those that have answered a SYN and were not answered yet.
    Handshakes,
    /// Listeners.
    Listeners,
}

/// The kernel's own names of a socket, its cookie among them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Id {
    family: u8,
    socket: SocketId,
}

// === impl ListedSocket ===

impl ListedSocket {
    /// Lists the TCP sockets of a namespace, of both families, in no order.
    pub fn list(netns: &NetNs, listing: Listing) -> Result<Vec<Self>, NetError> {
        let netlink = Netlink::open(netns, NETLINK_SOCK_DIAG)?;
        let mut sockets = Vec::new();
        for (family, socket) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            let request = request(Id { family, socket }, listing.states());
            let messages = netlink.dump(request).map_err(NetError::call("list sockets"))?;
            sockets.extend(messages.into_iter().filter_map(|message| match message {
                SockDiagMessage::InetResponse(response) => Self::read(*response),
                _ => None,
            }));
        }
        Ok(sockets)
    }

    /// Whether both were listed for one and the same socket, whatever it did in between.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Ends the connection: RST to the peer, ECONNABORTED to its owner. Nothing happens if it is gone.
    ///
    /// The kernel looks the 4-tuple up as for a packet (`inet_diag_find_one_icsk`), so that of a gone connection it may
    /// find a listener: the cookie, which only a listing tells, keeps that one alive.
    pub fn destroy(&self, netns: &NetNs) -> Result<(), NetError> {
        Netlink::open(netns, NETLINK_SOCK_DIAG)?
            .change(SockDiagDestroy::new(request(self.id.clone(), StateFlags::all())), 0)
            .or_else(unless(&[libc::ENOENT, libc::ESTALE]))
            .map_err(NetError::call("destroy socket"))
    }

    fn read(response: InetResponse) -> Option<Self> {
        let InetResponse { header, nlas } = response;
        let id = &header.socket_id;
        Some(Self {
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            peer: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            state: TcpState::from_kernel(header.state)?,
            inode: header.inode,
            uid: header.uid,
            mark: nlas.iter().find_map(|attribute| match attribute {
                Nla::Mark(mark) => Some(Mark(*mark)),
                _ => None,
            }),
            receive_queue: header.recv_queue,
            send_queue: header.send_queue,
            id: Id {
                family: header.family,
                socket: header.socket_id,
            },
        })
    }
}

// === impl TcpState ===

impl TcpState {
    fn from_kernel(state: u8) -> Option<Self> {
        Some(match state {
            TCP_ESTABLISHED => Self::Established,
            TCP_SYN_SENT => Self::SynSent,
            TCP_SYN_RECV => Self::SynReceived,
            TCP_FIN_WAIT1 => Self::FinWait1,
            TCP_FIN_WAIT2 => Self::FinWait2,
            TCP_TIME_WAIT => Self::TimeWait,
            TCP_CLOSE => Self::Closed,
            TCP_CLOSE_WAIT => Self::CloseWait,
            TCP_LAST_ACK => Self::LastAck,
            TCP_LISTEN => Self::Listen,
            TCP_CLOSING => Self::Closing,
            _ => return None,
        })
    }
}

// === impl Listing ===

impl Listing {
    fn states(self) -> StateFlags {
        match self {
            Self::Connections => StateFlags::all() - StateFlags::LISTEN,
            Self::Handshakes => StateFlags::SYN_RECV,
            Self::Listeners => StateFlags::LISTEN,
        }
    }
}

fn request(id: Id, states: StateFlags) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family: id.family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: id.socket,
    })
}

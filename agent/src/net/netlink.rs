//! Netlink requests to a namespace, one at a time, on the calling thread.

use std::{cell::Cell, io, iter};

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, Parseable as _,
};
use netlink_sys::{Socket, SocketAddr};

use super::{NetError, NetNs};

/// A netlink socket of one namespace.
pub(super) struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

/// All that the kernel answered to one request.
struct Answer<M> {
    messages: Vec<M>,
    consistency: Consistency,
}

/// Whether what was listed changed while it was.
#[derive(PartialEq, Eq)]
enum Consistency {
    Whole,
    Interrupted,
}

/// An answer of which only success counts.
struct Ignored;

// === impl Netlink ===

impl Netlink {
    /// Opens a socket of a protocol (`NETLINK_ROUTE`, `NETLINK_SOCK_DIAG`) in a namespace.
    pub(super) fn open(netns: &NetNs, protocol: isize) -> Result<Self, NetError> {
        let socket = netns
            .run(|| Socket::new(protocol))?
            .map_err(NetError::call("netlink socket"))?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(NetError::call("netlink connect"))?;
        Ok(Self {
            socket,
            sequence: Cell::new(0),
        })
    }

    /// Asks for a change and waits until it is made.
    pub(super) fn change<M: NetlinkSerializable>(&self, message: M, flags: u16) -> io::Result<()> {
        let sequence = self.send(message, NLM_F_ACK | flags)?;
        self.receive::<Ignored>(sequence).map(drop)
    }

    /// Lists everything that a request matches.
    pub(super) fn dump<M>(&self, request: M) -> io::Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable + Clone,
    {
        loop {
            let sequence = self.send(request.clone(), NLM_F_DUMP)?;
            let answer = self.receive(sequence)?;
            // What moved meanwhile may be missing: the list is read again.
            if answer.consistency == Consistency::Whole {
                return Ok(answer.messages);
            }
        }
    }

    fn send<M: NetlinkSerializable>(&self, message: M, flags: u16) -> io::Result<u32> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        request.finalize();
        request.header.flags = NLM_F_REQUEST | flags;
        request.header.sequence_number = sequence;
        let mut buffer = vec![0; request.buffer_len()];
        request.serialize(&mut buffer);
        self.socket.send(&buffer, 0)?;
        Ok(sequence)
    }

    fn receive<M: NetlinkDeserializable>(&self, sequence: u32) -> io::Result<Answer<M>> {
        let mut answer = Answer {
            messages: Vec::new(),
            consistency: Consistency::Whole,
        };
        loop {
            let (buffer, _) = self.socket.recv_from_full()?;
            for (header, bytes) in messages(&buffer).filter(|(header, _)| header.sequence_number == sequence) {
                if header.flags & NLM_F_DUMP_INTR != 0 {
                    answer.consistency = Consistency::Interrupted;
                }
                match NetlinkMessage::deserialize(bytes).map(|message| message.payload) {
                    Ok(NetlinkPayload::InnerMessage(message)) => answer.messages.push(message),
                    Ok(NetlinkPayload::Error(error)) if error.code.is_some() => return Err(error.to_io()),
                    Ok(NetlinkPayload::Done(done)) if done.code != 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.abs()));
                    }
                    Ok(NetlinkPayload::Error(_) | NetlinkPayload::Done(_)) => return Ok(answer),
                    Ok(_) => {}
                    // The kernel speaks more than the crate understands; none of it is of Weft's making.
                    Err(error) => tracing::debug!(%error, "Netlink message skipped"),
                }
            }
        }
    }
}

// === impl Ignored ===

impl NetlinkDeserializable for Ignored {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, _: &[u8]) -> Result<Self, Self::Error> {
        Ok(Self)
    }
}

/// Splits what one receive gave; stops at bytes that are no message.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = (NetlinkHeader, &[u8])> {
    iter::from_fn(move || {
        let buffer = NetlinkBuffer::new_checked(rest).ok()?;
        let header = NetlinkHeader::parse(&NetlinkBuffer::new(&rest)).ok()?;
        let length = buffer.length() as usize;
        let message = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, message))
    })
}

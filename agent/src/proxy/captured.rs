//! A connection that the kernel handed to the agent.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{capacity::ConnectionSeat, door::OpenDoor, lease::Tuple, stream::ResetOnDrop};
use crate::telemetry::Direction;

/// Where a client wanted to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OriginalDst(pub(super) SocketAddr);

/// An accepted connection: the socket, and all else.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) stream: ResetOnDrop,
    pub(super) arrival: Arrival,
}

/// What is known of an accepted connection beside its socket: both its addresses, and its place in every limit.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) client: SocketAddr,
    pub(super) destination: OriginalDst,
    /// Which of the pod's listeners took it.
    pub(super) direction: Direction,
    pub(super) seat: ConnectionSeat,
}

/// A captured connection between two lanes, registered with neither.
#[derive(Debug)]
pub(super) struct InTransit {
    stream: std::net::TcpStream,
    arrival: Arrival,
}

// === impl Arrival ===

impl Arrival {
    /// The pod whose listener took it.
    pub(super) fn door(&self) -> &Arc<OpenDoor> {
        &self.seat.door
    }

    /// Both its addresses.
    pub(super) fn tuple(&self) -> Tuple {
        Tuple {
            client: self.client,
            destination: self.destination.0,
        }
    }
}

// === impl InTransit ===

impl InTransit {
    /// Takes a connection, as it was accepted, off its lane.
    pub(super) fn new(stream: TcpStream, arrival: Arrival) -> io::Result<Self> {
        Ok(Self {
            stream: stream.into_std()?,
            arrival,
        })
    }

    /// Registers it with the calling lane.
    pub(super) fn arrive(self) -> io::Result<Captured> {
        let Self { stream, arrival } = self;
        Ok(Captured {
            stream: ResetOnDrop::new(TcpStream::from_std(stream)?),
            arrival,
        })
    }
}

//! A connection that the kernel handed to the agent.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;

use super::{capacity::ConnectionSeat, door::OpenDoor, stream::ResetOnDrop};
use crate::telemetry::Direction;

/// Where a client wanted to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OriginalDst(pub(super) SocketAddr);

/// An accepted connection with both its addresses, and its place in every limit.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) stream: ResetOnDrop,
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
    client: SocketAddr,
    destination: OriginalDst,
    direction: Direction,
    seat: ConnectionSeat,
}

// === impl Captured ===

impl Captured {
    /// The pod whose listener took it.
    pub(super) fn door(&self) -> &Arc<OpenDoor> {
        &self.seat.door
    }
}

// === impl InTransit ===

impl InTransit {
    /// Takes a connection, as it was accepted, off its lane.
    pub(super) fn new(
        stream: TcpStream,
        client: SocketAddr,
        destination: OriginalDst,
        direction: Direction,
        seat: ConnectionSeat,
    ) -> io::Result<Self> {
        Ok(Self {
            stream: stream.into_std()?,
            client,
            destination,
            direction,
            seat,
        })
    }

    /// Registers it with the calling lane.
    pub(super) fn arrive(self) -> io::Result<Captured> {
        let Self {
            stream,
            client,
            destination,
            direction,
            seat,
        } = self;
        let stream = TcpStream::from_std(stream)?;
        Ok(Captured {
            stream: ResetOnDrop::new(stream),
            client,
            destination,
            direction,
            seat,
        })
    }
}

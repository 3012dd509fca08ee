//! Step three: who opened the connection, and what the model knows of where it wants to go.

use std::net::SocketAddr;

use super::{captured::Captured, door::OpenDoor, lane::Lane};
use crate::{
    model::{Destination, Mesh, ObjectName, Transport, Unresolved},
    telemetry::{Denied, Direction},
};

/// A connection whose source is proven as far as it can be, with what it wants.
///
/// The source of an outbound connection is the pod whose listener accepted it, never an address. That of an inbound one
/// is only an address until nodes prove themselves to each other.
#[derive(Debug)]
pub(super) struct Identified {
    pub(super) captured: Captured,
    pub(super) wanted: Destination,
}

/// Identifies a connection that a pod of this node opened.
pub(super) fn outbound(captured: Captured, mesh: &Mesh) -> Result<Identified, (Denied, Unresolved)> {
    let wanted = mesh
        .resolve(captured.destination.0, Transport::Tcp)
        .map_err(|unresolved| (denied(&unresolved), unresolved))?;
    Ok(Identified { captured, wanted })
}

/// Identifies a connection that was opened to a pod of this node.
pub(super) fn inbound(captured: Captured) -> Identified {
    Identified {
        captured,
        wanted: Destination::Unknown,
    }
}

/// The pod at the client's end as records name it, where it is known.
pub(super) fn source_pod(direction: Direction, client: SocketAddr, door: &OpenDoor, lane: &Lane) -> Option<ObjectName> {
    match direction {
        Direction::Outbound | Direction::Local => Some(door.pod.name.clone()),
        Direction::Inbound => {
            let mesh = lane.shared.mesh.borrow();
            let (_, name) = mesh.endpoint_at(client)?.pod.as_ref()?;
            Some(name.clone())
        }
    }
}

fn denied(unresolved: &Unresolved) -> Denied {
    match unresolved {
        Unresolved::NoSuchPort(_) => Denied::NoSuchPort,
    }
}

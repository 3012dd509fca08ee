//! Step three: who opened the connection, as far as that is proven, and what it wants.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::{
    captured::{Arrival, OriginalDst},
    door::OpenDoor,
    lane::Lane,
    wire::Header,
};
use crate::{
    model::{Caller, Destination, Identity, Mesh, ObjectName, Transport, Unresolved},
    telemetry::{Denied, Direction},
    tls::Peer,
};

/// A connection whose source is proven as far as it can be, with what it wants.
#[derive(Debug)]
pub(super) struct Identified<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) source: Source,
    pub(super) wanted: Destination,
}

/// Who opened a connection.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A pod of this node: the one whose listener accepted the connection, never an address.
    Pod { door: Arc<OpenDoor>, address: SocketAddr },
    /// A pod of another node, by its certificate; which pod, its node's agent says.
    Peer(Arc<RemotePod>),
    /// Whoever has this address.
    Address(SocketAddr),
}

/// A pod of another node.
#[derive(Clone, Debug)]
pub(super) struct RemotePod {
    pub(super) peer: Peer,
    pub(super) name: ObjectName,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) address: SocketAddr,
}

/// Identifies a connection that a pod of this node opened.
pub(super) fn outbound<'a>(arrival: &'a Arrival, mesh: &Mesh) -> Result<Identified<'a>, (Denied, Unresolved)> {
    let OriginalDst(destination) = arrival.destination;
    let wanted = mesh
        .resolve(destination, Transport::Tcp)
        .map_err(|unresolved| (denied(&unresolved), unresolved))?;
    Ok(Identified {
        arrival,
        source: Source::Pod {
            door: arrival.door().clone(),
            address: arrival.client,
        },
        wanted,
    })
}

/// Identifies a connection that came to a pod of this node in plaintext.
pub(super) fn plaintext(arrival: &Arrival) -> Identified<'_> {
    Identified {
        arrival,
        source: Source::Address(arrival.client),
        wanted: Destination::Unknown,
    }
}

/// Identifies a request, or a stream, of a client that another agent has told of.
pub(super) fn told<'a>(arrival: &'a Arrival, client: Arc<RemotePod>) -> Identified<'a> {
    Identified {
        arrival,
        source: Source::Peer(client),
        wanted: Destination::Unknown,
    }
}

// === impl RemotePod ===

impl RemotePod {
    /// The pod of which the peer's agent speaks.
    ///
    /// That agent holds the pod's key, hence knows its labels. It speaks for pods of the certificate's namespace only.
    pub(super) fn new(header: Header, peer: &Peer, address: SocketAddr) -> Result<Self, Denied> {
        let Header {
            service: _,
            source: name,
            labels,
            trace: _,
        } = header;
        if name.namespace != peer.identity.namespace {
            return Err(Denied::ProtocolViolation);
        }
        Ok(Self {
            peer: peer.clone(),
            name,
            labels,
            address,
        })
    }
}

// === impl Source ===

impl Source {
    /// Shows a policy who it is.
    pub(super) fn as_caller<T>(&self, mesh: &Mesh, judge: impl FnOnce(&Caller<'_>) -> T) -> T {
        match self {
            Self::Pod { door, address } => judge(&Caller {
                identity: Some(&identity_of(door, mesh)),
                labels: Some(labels_of(door, mesh)),
                address: address.ip(),
            }),
            Self::Peer(remote) => judge(&Caller {
                identity: Some(&remote.peer.identity),
                labels: Some(&remote.labels),
                address: remote.address.ip(),
            }),
            Self::Address(address) => judge(&Caller::unproven(address.ip())),
        }
    }

    /// Who it is, where that is proven.
    pub(super) fn identity(&self, mesh: &Mesh) -> Option<Identity> {
        match self {
            Self::Pod { door, .. } => Some(identity_of(door, mesh)),
            Self::Peer(remote) => Some(remote.peer.identity.clone()),
            Self::Address(_) => None,
        }
    }
}

/// The identity of a pod of this node.
pub(super) fn identity_of(door: &OpenDoor, mesh: &Mesh) -> Identity {
    Identity {
        trust_domain: mesh.config.trust_domain.as_str().into(),
        namespace: door.pod.name.namespace.clone(),
        service_account: door.pod.service_account.clone(),
    }
}

/// The labels of a pod of this node: they may have changed since it was captured.
fn labels_of<'a>(door: &'a OpenDoor, mesh: &'a Mesh) -> &'a BTreeMap<String, String> {
    mesh.pods.get(&door.pod.uid).map_or(&door.pod.labels, |pod| &pod.labels)
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

//! Step four: whether the connection may be. What comes later cannot be called without the [`Permit`].
//!
//! What a permit stands on stays with the live connection and is judged again when the mesh, the roots or the deny-list
//! change: whatever it forbids then is cut.

use std::sync::Arc;

use super::{
    Shared,
    door::OpenDoor,
    identify::{Identified, Source},
    live::Live,
};
use crate::{
    model::{Destination, EgressMode, Mesh, PolicyId, Verdict},
    telemetry::Denied,
    tls::Peer,
};

/// The proof that a connection was authorised.
#[derive(Debug)]
pub(super) struct Permit<'a>(Identified<'a>);

/// What a permit stands on.
#[derive(Debug)]
pub(super) enum Ground {
    /// A pod of this node is reached.
    Ingress {
        pod: Arc<OpenDoor>,
        port: u16,
        source: Source,
    },
    /// A pod of another node is reached, which has proved to be it.
    Egress { peer: Peer },
    /// An address is reached of which nothing is known.
    Unknown,
}

/// What was decided, and by whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Judgement {
    pub(super) denied: Option<Denied>,
    /// The mesh by which it was judged.
    pub(super) generation: u64,
    /// The policy that decided.
    pub(super) policy: Option<Arc<PolicyId>>,
    /// The policies that only watch, and match.
    pub(super) audited: Vec<Arc<PolicyId>>,
}

// === impl Permit ===

impl<'a> Permit<'a> {
    /// What was authorised.
    pub(super) fn identified(&self) -> &Identified<'a> {
        &self.0
    }
}

/// What a pod of this node opens: anything in the model, and elsewhere as the egress mode says.
pub(super) fn egress<'a>(identified: Identified<'a>, live: &Live, shared: &Shared) -> Result<Permit<'a>, Denied> {
    match identified.wanted {
        Destination::Service { .. } | Destination::Pod(_) => {}
        Destination::Unknown => live.stand_on(Ground::Unknown, shared)?,
    }
    Ok(Permit(identified))
}

/// What comes to a pod of this node from elsewhere.
pub(super) fn ingress<'a>(identified: Identified<'a>, live: &Live, shared: &Shared) -> Result<Permit<'a>, Denied> {
    let ground = Ground::Ingress {
        pod: identified.arrival.door().clone(),
        port: identified.arrival.destination.0.port(),
        source: identified.source.clone(),
    };
    live.stand_on(ground, shared)?;
    Ok(Permit(identified))
}

/// What a pod of this node opens to another one of it: the destination's policies decide here too.
pub(super) fn local(
    permit: &Permit<'_>,
    pod: &Arc<OpenDoor>,
    port: u16,
    live: &Live,
    shared: &Shared,
) -> Result<(), Denied> {
    let ground = Ground::Ingress {
        pod: pod.clone(),
        port,
        source: permit.identified().source.clone(),
    };
    live.stand_on(ground, shared)
}

// === impl Ground ===

impl Ground {
    /// Judges by the mesh, the roots and the deny-list of this moment.
    pub(super) fn judge(&self, mesh: &Mesh, shared: &Shared) -> Judgement {
        let judged = match self {
            Self::Ingress { pod, port, source } => ingress_judgement(pod, *port, source, mesh, shared),
            Self::Egress { peer } => Judgement {
                denied: shared.identities.refuses(peer).then_some(Denied::IdentityDenied),
                ..Judgement::default()
            },
            Self::Unknown => Judgement {
                denied: match mesh.config.egress {
                    EgressMode::Allow => None,
                    EgressMode::Deny => Some(Denied::EgressDenied),
                },
                ..Judgement::default()
            },
        };
        Judgement {
            generation: mesh.generation,
            ..judged
        }
    }
}

fn ingress_judgement(door: &OpenDoor, port: u16, source: &Source, mesh: &Mesh, shared: &Shared) -> Judgement {
    // The pod as the mesh knows it: labels may have changed since it was captured. One that has left is judged no more.
    let Some(pod) = mesh.pods.get(&door.pod.uid) else {
        return Judgement::default();
    };
    let refused = match source {
        Source::Address(address) if !mesh.admits_plaintext(pod, port, address.ip()) => Some(Denied::PlaintextRefused),
        Source::Peer(remote) if shared.identities.refuses(&remote.peer) => Some(Denied::IdentityDenied),
        Source::Pod { door, .. } if shared.denies(door) => Some(Denied::IdentityDenied),
        Source::Address(_) | Source::Peer(_) | Source::Pod { .. } => None,
    };
    if refused.is_some() {
        return Judgement {
            denied: refused,
            ..Judgement::default()
        };
    }
    let decision = source.as_caller(mesh, |caller| mesh.authorise(pod, port, caller));
    Judgement {
        denied: match decision.verdict {
            Verdict::Allowed => None,
            Verdict::Denied(_) => Some(Denied::PolicyDenied),
        },
        generation: mesh.generation,
        policy: decision.by.map(|by| by.policy),
        audited: decision.audited,
    }
}

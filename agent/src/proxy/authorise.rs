//! Step four: whether the connection may be. What comes later cannot be called without the [`Permit`].

use super::identify::Identified;
use crate::{
    model::{Destination, EgressMode, Mesh},
    telemetry::Denied,
};

/// The proof that a connection was authorised.
#[derive(Debug)]
pub(super) struct Permit(Identified);

// === impl Permit ===

impl Permit {
    /// What was authorised.
    pub(super) fn identified(&self) -> &Identified {
        &self.0
    }

    /// Gives the connection back for the copy.
    pub(super) fn into_identified(self) -> Identified {
        self.0
    }
}

/// What a pod of this node opens: anything in the model, and elsewhere as the egress mode says.
pub(super) fn egress(identified: Identified, mesh: &Mesh) -> Result<Permit, Denied> {
    match (&identified.wanted, mesh.config.egress) {
        (Destination::Service { .. } | Destination::Pod(_), _) | (Destination::Unknown, EgressMode::Allow) => {
            Ok(Permit(identified))
        }
        (Destination::Unknown, EgressMode::Deny) => Err(Denied::EgressDenied),
    }
}

/// What is opened to a pod of this node: anything, as long as there are no policies.
pub(super) fn ingress(identified: Identified) -> Permit {
    Permit(identified)
}

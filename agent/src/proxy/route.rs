//! Step six: which endpoints come into question.

use std::net::SocketAddr;

use super::{authorise::Permit, detect::Protocol};
use crate::model::{Affinity, Candidates, Destination, ObjectName};

/// Where a connection may go.
#[derive(Debug)]
pub(super) enum Route {
    /// There and nowhere else: pods' own addresses, and addresses that are nobody's in the model.
    Exactly(SocketAddr),
    /// To one of a service's endpoints.
    OneOf {
        /// The service.
        service: ObjectName,
        /// Its port.
        port: u16,
        /// Who may serve.
        candidates: Candidates,
        /// Whether a client stays with its endpoint.
        affinity: Option<Affinity>,
    },
}

// === impl Route ===

impl Route {
    /// To the endpoints of a service's port; none where the destination is no service.
    pub(super) fn of_service(wanted: &Destination, port: u16) -> Option<Self> {
        match wanted {
            Destination::Pod(_) | Destination::Unknown => None,
            Destination::Service {
                service,
                candidates,
                port: _,
            } => Some(Self::OneOf {
                service: service.name.clone(),
                port,
                candidates: candidates.clone(),
                affinity: service.affinity,
            }),
        }
    }

    /// The service whose endpoints come into question.
    pub(super) fn service(&self) -> Option<&ObjectName> {
        match self {
            Self::Exactly(_) => None,
            Self::OneOf { service, .. } => Some(service),
        }
    }
}

/// Finds where an authorised connection, or a request, may go, before routes have their say.
pub(super) fn route(permit: &Permit<'_>, protocol: Protocol) -> Route {
    match protocol {
        Protocol::Opaque | Protocol::Http(_) => {
            let identified = permit.identified();
            let destination = identified.arrival.destination.0;
            Route::of_service(&identified.wanted, destination.port()).unwrap_or(Route::Exactly(destination))
        }
    }
}

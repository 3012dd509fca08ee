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

/// Finds where an authorised connection, or a request, may go.
pub(super) fn route(permit: &Permit<'_>, protocol: Protocol) -> Route {
    let identified = permit.identified();
    let destination = identified.arrival.destination.0;
    match (protocol, &identified.wanted) {
        (Protocol::Opaque | Protocol::Http(_), Destination::Pod(_) | Destination::Unknown) => {
            Route::Exactly(destination)
        }
        (
            Protocol::Opaque | Protocol::Http(_),
            Destination::Service {
                service,
                candidates,
                port: _,
            },
        ) => Route::OneOf {
            service: service.name.clone(),
            port: destination.port(),
            candidates: candidates.clone(),
            affinity: service.affinity,
        },
    }
}

//! Step six: which endpoints come into question.

mod draw;
mod stream;

use std::net::SocketAddr;

pub(super) use self::{
    draw::{draw, random},
    stream::ruled,
};
use super::{authorise::Permit, detect::Protocol};
use crate::{
    model::{Affinity, Backend, Candidates, Destination, Family, Mesh, ObjectName, RouteRule},
    telemetry::Denied,
};

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

    /// To the endpoints of a rule's backend, for a client that has dialled `destination`.
    pub(super) fn of_backend(
        backend: &Backend,
        rule: &RouteRule,
        destination: SocketAddr,
        mesh: &Mesh,
    ) -> Result<Self, Denied> {
        let backend = match backend {
            Backend::Resolved(backend) => backend,
            Backend::Unresolved(reason) => {
                tracing::debug!(%reason, route = %rule.route, "A request or a connection has no backend");
                return Err(Denied::BackendNotResolved);
            }
        };
        let wanted = mesh.backend(&backend.service, backend.port, Family::of(destination.ip()));
        wanted
            .and_then(|wanted| Self::of_service(&wanted, backend.port))
            .ok_or(Denied::BackendNotResolved)
    }

    /// Whether an endpoint comes into question.
    pub(super) fn leads_to(&self, endpoint: SocketAddr) -> bool {
        match self {
            Self::Exactly(address) => *address == endpoint,
            Self::OneOf { candidates, .. } => candidates.at(endpoint).is_some(),
        }
    }

    /// Whether there is an endpoint besides those that were tried.
    pub(super) fn has_others(&self, tried: &[SocketAddr]) -> bool {
        match self {
            Self::Exactly(_) => false,
            Self::OneOf { candidates, .. } => candidates.choose(0, tried, |_| 0).is_some(),
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

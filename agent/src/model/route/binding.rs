//! Which routes decide for which ports of Services, and why others do not (GEP-1294).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{BackendTarget, Parent, Route, RouteId, RouteKind, UnresolvedBackend};
use crate::model::{ObjectName, Service, Transport};

/// For whom routes decide: a port of a Service, and all clients or those of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) service: ObjectName,
    pub(super) port: u16,
    /// The namespace of the clients; none for all.
    pub(super) clients: Option<Arc<str>>,
}

/// The routes of each place, and the parents for which a route does not decide.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    pub(super) places: BTreeMap<Place, (RouteKind, Vec<Arc<Route>>)>,
    unbound: HashMap<(RouteId, usize), Unbound>,
}

/// Why a route does not decide for a parent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbound {
    /// There is no such Service.
    #[error("there is no Service {0}")]
    NoService(ObjectName),
    /// The Service has no address by which requests for it could be told.
    #[error("Service {0} has no cluster IP by which its traffic could be told")]
    NoAddress(ObjectName),
    /// It has no such port.
    #[error("Service {0} has no such TCP port")]
    NoPort(ObjectName),
    /// Routes of another kind go before it.
    #[error("{0} is bound to the same port, and a {kind} goes before it", kind = .0.kind.label())]
    Conflicted(RouteId),
}

// === impl Bindings ===

impl Bindings {
    /// Binds routes to Services.
    pub fn new<'a>(routes: &[Arc<Route>], service: impl Fn(&ObjectName) -> Option<&'a Service>) -> Self {
        let mut unbound = HashMap::new();
        let mut claims: BTreeMap<Place, Vec<(&Arc<Route>, usize)>> = BTreeMap::new();
        for route in routes {
            for parent in &route.parents {
                let ports = match ports(parent, service(&parent.service)) {
                    Ok(ports) => ports,
                    Err(reason) => {
                        unbound.insert((route.id.clone(), parent.index), reason);
                        continue;
                    }
                };
                for port in ports {
                    let place = Place {
                        service: parent.service.clone(),
                        port,
                        clients: (!route.is_producer_of(&parent.service)).then(|| Arc::clone(&route.id.name.namespace)),
                    };
                    claims.entry(place).or_default().push((route, parent.index));
                }
            }
        }
        let mut won: BTreeSet<(&RouteId, usize)> = BTreeSet::new();
        let mut places = BTreeMap::new();
        for (place, claims) in &claims {
            let Some((first, _)) = claims.iter().min_by_key(|(route, _)| (route.id.kind, route.age())) else {
                continue;
            };
            let mut deciding: Vec<Arc<Route>> = Vec::new();
            for (route, parent) in claims {
                if route.id.kind != first.id.kind {
                    let lost = (route.id.clone(), *parent);
                    unbound
                        .entry(lost)
                        .or_insert_with(|| Unbound::Conflicted(first.id.clone()));
                    continue;
                }
                won.insert((&route.id, *parent));
                if !deciding.iter().any(|known| known.id == route.id) {
                    deciding.push(Arc::clone(route));
                }
            }
            places.insert(place.clone(), (first.id.kind, deciding));
        }
        // Where it decides for some port of the parent, it is bound.
        for (route, parent) in won {
            unbound.remove(&(route.clone(), parent));
        }
        Self { places, unbound }
    }

    /// Why a route does not decide for one of its parents; none where it does.
    pub fn unbound(&self, route: &RouteId, parent: &Parent) -> Option<&Unbound> {
        self.unbound.get(&(route.clone(), parent.index))
    }
}

/// Whether a backend can be used.
///
/// No ReferenceGrant is asked for: in a mesh a route gives nobody access that he has not (GEP-1294).
///
/// # Errors
///
/// When it cannot: requests for it get 500.
pub fn resolve<'a>(
    target: &BackendTarget,
    service: impl Fn(&ObjectName) -> Option<&'a Service>,
) -> Result<(&ObjectName, u16), UnresolvedBackend> {
    match target {
        BackendTarget::OtherKind { kind } => Err(UnresolvedBackend::OtherKind(Arc::clone(kind))),
        BackendTarget::Service { service: name, port } => {
            let Some(service) = service(name) else {
                return Err(UnresolvedBackend::NoService(name.clone()));
            };
            if service.external_name.is_some() {
                return Err(UnresolvedBackend::ExternalName(name.clone()));
            }
            if !tcp_ports(service).any(|(_, number)| number == *port) {
                return Err(UnresolvedBackend::NoPort(name.clone(), *port));
            }
            Ok((name, *port))
        }
    }
}

fn ports(parent: &Parent, service: Option<&Service>) -> Result<Vec<u16>, Unbound> {
    let service = service.ok_or_else(|| Unbound::NoService(parent.service.clone()))?;
    if service.cluster_ips.is_empty() {
        return Err(Unbound::NoAddress(parent.service.clone()));
    }
    let meant = tcp_ports(service).filter(|(name, number)| {
        parent.port.is_none_or(|port| port == *number)
            && parent.section.as_ref().is_none_or(|section| **section == **name)
    });
    let ports: Vec<u16> = meant.map(|(_, number)| number).collect();
    match ports.is_empty() {
        true => Err(Unbound::NoPort(parent.service.clone())),
        false => Ok(ports),
    }
}

fn tcp_ports(service: &Service) -> impl Iterator<Item = (&str, u16)> {
    let ports = service.ports.iter().filter(|port| port.transport == Transport::Tcp);
    ports.map(|port| (port.name.as_str(), port.port))
}

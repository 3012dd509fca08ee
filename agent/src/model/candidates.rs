//! Which endpoints a client of this node may get: kube-proxy's `CategorizeEndpoints` and `topologyModeFromHints` (1.35),
//! worked out when the mesh changes, so that a connection only picks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::Arc,
};

use super::{Endpoint, ServicePort, TrafficPolicy};

/// The endpoints that connections to one address of a service may choose from, in the order of their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates(Arc<[Arc<Endpoint>]>);

/// An address family; a client only ever gets endpoints of the one it dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where the clients are for whom candidates are worked out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Their node.
    pub node: &'a str,
    /// The zone of that node.
    pub zone: Option<&'a str>,
}

/// What narrows the ready endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topology {
    Everywhere,
    SameZone,
    SameNode,
}

// === impl Candidates ===

impl Candidates {
    /// Works out who may serve clients at `place` that dial an address of `family`.
    pub fn new(port: &ServicePort, policy: TrafficPolicy, family: Family, place: Place<'_>) -> Self {
        let endpoints: Vec<&Arc<Endpoint>> = port
            .endpoints
            .iter()
            .filter(|endpoint| Family::of(endpoint.address.ip()) == family)
            .collect();
        match policy {
            TrafficPolicy::Cluster => {
                let topology = Topology::of(&endpoints, place);
                Self::ready_else_draining(&endpoints, |endpoint| topology.admits(endpoint, place), |_| true)
            }
            TrafficPolicy::Local => {
                let local = |endpoint: &Endpoint| endpoint.node.as_deref() == Some(place.node);
                Self::ready_else_draining(&endpoints, local, local)
            }
        }
    }

    /// The candidate at this address.
    pub fn at(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        let index = self
            .0
            .binary_search_by_key(&address, |endpoint| endpoint.address)
            .ok()?;
        self.0.get(index)
    }

    /// The less loaded of two that `random` draws, none of them in `tried`.
    ///
    /// Two choices keep the load as even as comparing all would, nearly, at a cost that does not grow with the service.
    pub fn choose(
        &self,
        random: u64,
        tried: &[SocketAddr],
        load: impl Fn(&Endpoint) -> usize,
    ) -> Option<&Arc<Endpoint>> {
        let first = self.draw(random & 0xffff_ffff, 0);
        let second = self
            .draw(random >> 32, 1)
            .map(|other| if Some(other) >= first { other + 1 } else { other });
        let first = self.untried_from(first?, tried)?;
        let Some(second) = second.and_then(|index| self.untried_from(index, tried)) else {
            return Some(first);
        };
        Some(if load(second) < load(first) { second } else { first })
    }

    /// Keeps the ready ones that `admit` lets in, else (KEP-1669) those that still serve while they end.
    fn ready_else_draining(
        endpoints: &[&Arc<Endpoint>],
        admit: impl Fn(&Endpoint) -> bool,
        admit_draining: impl Fn(&Endpoint) -> bool,
    ) -> Self {
        let keep = |wanted: &dyn Fn(&Endpoint) -> bool| -> Arc<[Arc<Endpoint>]> {
            endpoints
                .iter()
                .filter(|endpoint| wanted(endpoint))
                .map(|endpoint| Arc::clone(endpoint))
                .collect()
        };
        let ready = keep(&|endpoint| endpoint.ready && admit(endpoint));
        if !ready.is_empty() {
            return Self(ready);
        }
        Self(keep(&|endpoint| {
            endpoint.serving && endpoint.terminating && admit_draining(endpoint)
        }))
    }

    /// An index below the length less `fewer`, from 32 random bits.
    fn draw(&self, random: u64, fewer: usize) -> Option<usize> {
        let range = self.0.len().checked_sub(fewer).filter(|range| *range > 0)?;
        Some(((random * range as u64) >> 32) as usize)
    }

    fn untried_from(&self, index: usize, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        let (before, from) = self.0.split_at(index);
        from.iter()
            .chain(before)
            .find(|endpoint| !tried.contains(&endpoint.address))
    }
}

impl Deref for Candidates {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

// === impl Family ===

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

// === impl Topology ===

impl Topology {
    /// Hints count only where every ready endpoint carries them and one of them is for this place.
    fn of(endpoints: &[&Arc<Endpoint>], place: Place<'_>) -> Self {
        let ready = || endpoints.iter().filter(|endpoint| endpoint.ready);
        let narrows = |topology: Self, hinted: fn(&Endpoint) -> bool| {
            ready().all(|endpoint| hinted(endpoint)) && ready().any(|endpoint| topology.admits(endpoint, place))
        };
        if narrows(Self::SameNode, |endpoint| !endpoint.hints.nodes.is_empty()) {
            Self::SameNode
        } else if narrows(Self::SameZone, |endpoint| !endpoint.hints.zones.is_empty()) {
            Self::SameZone
        } else {
            Self::Everywhere
        }
    }

    fn admits(self, endpoint: &Endpoint, place: Place<'_>) -> bool {
        match self {
            Self::Everywhere => true,
            Self::SameZone => endpoint.hints.zones.iter().any(|zone| Some(&**zone) == place.zone),
            Self::SameNode => endpoint.hints.nodes.iter().any(|node| **node == *place.node),
        }
    }
}

/// Joins the endpoints of several slices: ordered by address, each address once.
///
/// An endpoint that moves between slices is in both for a while, and a network may give a dying pod's address to the
/// next one: of two the one that is not terminating stays, then the one that is ready.
pub fn merge_endpoints(endpoints: impl IntoIterator<Item = Arc<Endpoint>>) -> Vec<Arc<Endpoint>> {
    let mut merged: BTreeMap<SocketAddr, Arc<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let rank = |endpoint: &Endpoint| (!endpoint.terminating, endpoint.ready);
        let kept = merged.entry(endpoint.address).or_insert_with(|| Arc::clone(&endpoint));
        if rank(&endpoint) > rank(kept) {
            *kept = endpoint;
        }
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests;

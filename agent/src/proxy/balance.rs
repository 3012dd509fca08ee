//! Step seven: which endpoint it is.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    affinity::{Sticky, StickyKey},
    captured::Arrival,
    route::{Route, random},
};
use crate::{
    model::{Affinity, Candidates, ObjectName},
    telemetry::Denied,
};

/// How many connections of this node each endpoint has.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads(Arc<Mutex<HashMap<SocketAddr, usize>>>);

/// An endpoint, with this connection counted among its load.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) address: SocketAddr,
    load: Load,
}

/// One connection of an endpoint's load.
#[derive(Debug)]
pub(super) struct Load {
    loads: Loads,
    address: SocketAddr,
}

/// Picks an endpoint that is not among the `tried`: none where no other is left.
pub(super) fn pick(route: &Route, arrival: &Arrival, tried: &[SocketAddr], loads: &Loads) -> Result<Picked, Denied> {
    let (service, port, candidates, affinity) = match route {
        Route::Exactly(address) if tried.is_empty() => return Ok(loads.pick(*address)),
        Route::Exactly(_) => return Err(Denied::NoEndpoint),
        Route::OneOf {
            service,
            port,
            candidates,
            affinity,
        } => (service, *port, candidates, affinity),
    };
    let troubled = arrival.door().troubles.recent();
    let choose = || choose(candidates, tried, &troubled, loads).ok_or(Denied::NoEndpoint);
    let Some(affinity) = affinity else {
        return choose();
    };
    let bond = Bond::new(&arrival.door().sticky, affinity, arrival, service, port);
    let stuck = bond
        .endpoint()
        .filter(|address| candidates.at(*address).is_some() && !tried.contains(address) && !troubled.contains(address));
    let picked = stuck.map_or_else(choose, |address| Ok(loads.pick(address)))?;
    bond.stick(picked.address);
    Ok(picked)
}

/// A client's tie to an endpoint of one service port.
struct Bond<'a> {
    sticky: &'a Sticky,
    affinity: &'a Affinity,
    key: StickyKey,
    now: Instant,
}

// === impl Picked ===

impl Picked {
    /// Keeps the connection counted.
    pub(super) fn into_load(self) -> Load {
        self.load
    }
}

// === impl Loads ===

impl Loads {
    fn pick(&self, address: SocketAddr) -> Picked {
        self.count(&mut self.lock(), address)
    }

    fn count(&self, counts: &mut HashMap<SocketAddr, usize>, address: SocketAddr) -> Picked {
        *counts.entry(address).or_default() += 1;
        Picked {
            address,
            load: Load {
                loads: self.clone(),
                address,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut counts = self.loads.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

// === impl Bond ===

impl<'a> Bond<'a> {
    fn new(sticky: &'a Sticky, affinity: &'a Affinity, arrival: &Arrival, service: &ObjectName, port: u16) -> Self {
        Self {
            sticky,
            affinity,
            key: StickyKey {
                service: service.clone(),
                port,
                client: arrival.client.ip(),
            },
            now: Instant::now(),
        }
    }

    fn endpoint(&self) -> Option<SocketAddr> {
        self.sticky.endpoint(&self.key, self.now)
    }

    fn stick(self, endpoint: SocketAddr) {
        self.sticky.stick(self.key, endpoint, self.affinity.timeout, self.now);
    }
}

/// The less loaded of two that were not tried; those in trouble only where there is nobody else.
///
/// Counted under the lock under which it was chosen: of connections that come at once each sees the others.
fn choose(candidates: &Candidates, tried: &[SocketAddr], troubled: &[SocketAddr], loads: &Loads) -> Option<Picked> {
    let random = random();
    let mut counts = loads.lock();
    let load = |address: SocketAddr| counts.get(&address).copied().unwrap_or_default();
    let untroubled = || {
        let avoided: Vec<SocketAddr> = tried.iter().chain(troubled).copied().collect();
        candidates.choose(random, &avoided, |endpoint| load(endpoint.address))
    };
    let any = || candidates.choose(random, tried, |endpoint| load(endpoint.address));
    let chosen = if troubled.is_empty() {
        any()
    } else {
        untroubled().or_else(any)
    };
    let address = chosen?.address;
    Some(loads.count(&mut counts, address))
}

#[cfg(test)]
mod tests;

//! The agents that attend, and which bundle each has taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The agents that attend, by the bundle that each has taken.
#[derive(Debug, Default)]
pub(super) struct Attending {
    known: Mutex<BTreeMap<u64, Attendant>>,
    next: AtomicU64,
}

/// One agent's place among those that attend, while it does.
pub(super) struct Seat {
    attending: Arc<Attending>,
    number: u64,
}

#[derive(Debug)]
struct Attendant {
    node: Arc<str>,
    /// The version of the bundle that it has taken last.
    bundle: u64,
}

// === impl Attending ===

impl Attending {
    /// The nodes of the agents that have not taken this bundle.
    pub(super) fn without(&self, version: u64) -> BTreeSet<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let without = known.values().filter(|attendant| attendant.bundle < version);
        without.map(|attendant| Arc::clone(&attendant.node)).collect()
    }

    /// The bundle that each node's agent has taken; where a node has two, the older one.
    pub(super) fn taken(&self) -> BTreeMap<Arc<str>, u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for Attendant { node, bundle } in known.values() {
            let least = taken.entry(Arc::clone(node)).or_insert(*bundle);
            *least = (*least).min(*bundle);
        }
        taken
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

// === impl Seat ===

impl Seat {
    /// Takes a place for the agent of a node, which knows nothing yet.
    pub(super) fn take(attending: &Arc<Attending>, node: &Arc<str>) -> Self {
        let number = attending.next.fetch_add(1, Ordering::Relaxed);
        let mut known = attending.known.lock().unwrap_or_else(PoisonError::into_inner);
        let node = Arc::clone(node);
        known.insert(number, Attendant { node, bundle: 0 });
        Self {
            attending: Arc::clone(attending),
            number,
        }
    }

    /// Remembers that it has taken this bundle.
    pub(super) fn knows(&self, version: u64) {
        let mut known = self.attending.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attendant) = known.get_mut(&self.number) {
            attendant.bundle = version;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut known = self.attending.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&self.number);
    }
}

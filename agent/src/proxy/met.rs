//! The pods with which this node has spoken mutual TLS a short while ago: their plaintext is refused, and while their agents
//! are away they are waited for.
//!
//! It guards what is Permissive against a path that strips the option from handshakes under way. A pod that leaves the mesh
//! by its own label looks just like that to the nodes of its clients, which see no labels of it. So the memory ends: whoever
//! must never speak plaintext is Strict, which needs no memory.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{model::PodUid, tls::Peer};

/// Pods by what is known of them before one connects.
#[derive(Debug)]
pub(super) struct Met {
    /// By their UIDs, which are never used again.
    pods: Remembered<PodUid, ()>,
    /// By their addresses, with their namespaces: all that tells of a pod which no service names. Others may come to bear
    /// them, so that nobody is refused by his address alone.
    addresses: Remembered<IpAddr, Arc<str>>,
}

/// What is forgotten some time after it was last seen.
#[derive(Debug)]
struct Remembered<K, V> {
    memory: Duration,
    seen: Mutex<HashMap<K, (V, Instant)>>,
}

// === impl Met ===

impl Met {
    /// Remembers each pod for this long after a handshake.
    pub(super) fn new(memory: Duration) -> Self {
        Self {
            pods: Remembered::new(memory),
            addresses: Remembered::new(memory),
        }
    }

    /// Whether this node has spoken mutual TLS with the pod so lately that it remembers.
    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        self.pods.find(uid).is_some()
    }

    /// The namespace of the pod that bore the address when this node spoke mutual TLS with it, so lately that it remembers.
    pub(super) fn namespace_at(&self, ip: IpAddr) -> Option<Arc<str>> {
        self.addresses.find(&ip)
    }

    /// Remembers who has proved himself at an address, from this moment.
    pub(super) fn insert(&self, peer: &Peer, ip: IpAddr) {
        self.pods.insert(peer.uid.clone(), ());
        self.addresses.insert(ip, Arc::clone(&peer.identity.namespace));
    }

    /// Forgets who was at an address, where somebody answers in plaintext.
    pub(super) fn forget_address(&self, ip: IpAddr) {
        self.addresses.lock().remove(&ip);
    }
}

// === impl Remembered ===

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn new(memory: Duration) -> Self {
        Self {
            memory,
            seen: Mutex::default(),
        }
    }

    fn find(&self, key: &K) -> Option<V> {
        let seen = self.lock();
        let (value, at) = seen.get(key)?;
        (at.elapsed() < self.memory).then(|| value.clone())
    }

    /// Where too many are known, those go that need not be remembered, and if none are, all.
    fn insert(&self, key: K, value: V) {
        let mut seen = self.lock();
        if seen.len() >= MOST && !seen.contains_key(&key) {
            seen.retain(|_, (_, at)| at.elapsed() < self.memory);
            if seen.len() >= MOST {
                seen.clear();
            }
        }
        seen.insert(key, (value, Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About 10 MB of each kind.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MEMORY: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_remembered_for_a_time_after_it_was_last_seen_and_then_forgotten() {
        let met = Remembered::new(MEMORY);
        assert_eq!(met.find(&"a"), None);
        met.insert("a", 1);
        advance(MEMORY / 2).await;
        met.insert("a", 2);
        advance(MEMORY - Duration::from_secs(1)).await;
        assert_eq!(met.find(&"a"), Some(2));
        assert_eq!(met.find(&"b"), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(met.find(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let met = Remembered::new(MEMORY);
        for number in 0..=MOST {
            met.insert(number, ());
        }
        assert_eq!(met.lock().len(), 1, "the last one");
        assert_eq!(met.find(&MOST), Some(()));
    }
}

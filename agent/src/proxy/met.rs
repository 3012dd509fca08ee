//! The pods with which this node has spoken mutual TLS a short while ago: their plaintext is refused.
//!
//! It guards what is Permissive against a path that strips the option from handshakes under way. A pod that leaves the mesh
//! by its own label looks just like that to the nodes of its clients, which see no labels of it. So the memory ends: whoever
//! must never speak plaintext is Strict, which needs no memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::PodUid;

/// Pods by their UIDs, which are never used again, with the time of the last handshake.
#[derive(Debug)]
pub(super) struct Met {
    memory: Duration,
    pods: Mutex<HashMap<PodUid, Instant>>,
}

// === impl Met ===

impl Met {
    /// Remembers each pod for this long after a handshake.
    pub(super) fn new(memory: Duration) -> Self {
        Self {
            memory,
            pods: Mutex::default(),
        }
    }

    /// Whether this node has spoken mutual TLS with the pod so lately that it remembers.
    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(uid).is_some_and(|at| at.elapsed() < self.memory)
    }

    /// Remembers a pod from this moment. Where too many are known, those go that need not be remembered, and if none
    /// are, all.
    pub(super) fn insert(&self, uid: &PodUid) {
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        if pods.len() >= MOST && !pods.contains_key(uid) {
            pods.retain(|_, at| at.elapsed() < self.memory);
            if pods.len() >= MOST {
                pods.clear();
            }
        }
        pods.insert(uid.clone(), Instant::now());
    }
}

/// About 10 MB.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MEMORY: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_remembered_for_a_time_after_its_last_handshake_and_then_forgotten() {
        let (met, pod) = (Met::new(MEMORY), PodUid::new("uid-a"));
        assert!(!met.contains(&pod));
        met.insert(&pod);
        advance(MEMORY / 2).await;
        met.insert(&pod);
        advance(MEMORY - Duration::from_secs(1)).await;
        assert!(met.contains(&pod));
        assert!(!met.contains(&PodUid::new("uid-b")));
        advance(Duration::from_secs(1)).await;
        assert!(!met.contains(&pod));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_pods_are_remembered_than_there_is_room_for() {
        let met = Met::new(MEMORY);
        for number in 0..=MOST {
            met.insert(&PodUid::new(format!("uid-{number}")));
        }
        let remembered = met.pods.lock().expect("no panic").len();
        assert_eq!(remembered, 1, "the last one");
        assert!(met.contains(&PodUid::new(format!("uid-{MOST}"))));
    }
}

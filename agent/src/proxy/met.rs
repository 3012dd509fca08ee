//! The pods with which this node has spoken mutual TLS: their plaintext is refused from then on.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::model::PodUid;

/// Pods by their UIDs, which are never used again.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<HashSet<PodUid>>);

// === impl Met ===

impl Met {
    /// Whether this node has spoken mutual TLS with the pod.
    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// Remembers a pod. Where too many are known, all are forgotten: most of them are gone.
    pub(super) fn insert(&self, uid: &PodUid) {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= MOST && !met.contains(uid) {
            met.clear();
        }
        if !met.contains(uid) {
            met.insert(uid.clone());
        }
    }
}

/// About 10 MB.
const MOST: usize = 100_000;

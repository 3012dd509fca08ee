//! Which pods were held until they were captured, for the operator to see.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::model::{Mesh, PodUid};

/// The pods of the node that the plugin held, and how long.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<BTreeMap<PodUid, Duration>>>);

// === impl Held ===

impl Held {
    /// How long a pod was held, if it was.
    pub fn time(&self, pod: &PodUid) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(pod).copied()
    }

    /// Notes a pod, and forgets those that are gone.
    pub(super) fn note(&self, pod: PodUid, time: Duration, mesh: &Mesh) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|uid, _| mesh.pods.contains_key(uid));
        held.insert(pod, time);
    }
}

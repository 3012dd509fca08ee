//! What the room says about itself.

use std::{collections::BTreeMap, sync::Arc};

use crate::{model::PodUid, net::Cookie};

/// How far the kernel is as the mesh says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation of the mesh that was applied last; 0 before the first.
    pub generation: u64,
    /// The pods to be captured.
    pub pods: BTreeMap<PodUid, PodStatus>,
}

/// How far a pod's capture is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodStatus {
    /// It is captured.
    Captured {
        /// Its network namespace.
        netns: Cookie,
        /// Devices with addresses of the pod beside that of its default route. What a socket sends there by the device's
        /// name is not captured.
        uncaptured_devices: Arc<[String]>,
        /// Whether its containers ran already when it was captured for the first time.
        late: bool,
    },
    /// It is not captured yet.
    Waiting {
        /// What is waited for.
        reason: Arc<str>,
    },
}

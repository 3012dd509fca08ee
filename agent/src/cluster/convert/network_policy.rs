//! NetworkPolicies: who enforces them is not Weft, which only must know when they change.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::networking::v1::NetworkPolicy as Manifest;

/// What differs whenever the policy does.
pub(crate) fn network_policy(manifest: &Manifest) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&manifest.spec)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

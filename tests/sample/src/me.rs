//! Who answers: the pod's name, as its environment tells it.

use std::env;

/// The names by which an answer tells where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    /// The pod, or whatever the host is called.
    pub(crate) pod: String,
    /// The node, where the manifest tells it by `NODE_NAME`.
    pub(crate) node: Option<String>,
}

// === impl Me ===

impl Me {
    /// `POD_NAME`, else `HOSTNAME`, which Kubernetes sets to the pod's name.
    pub(crate) fn from_environment() -> Self {
        let name = ["POD_NAME", "HOSTNAME"]
            .into_iter()
            .find_map(|name| env::var(name).ok());
        Self {
            pod: name.unwrap_or_else(|| "nameless".to_owned()),
            node: env::var("NODE_NAME").ok(),
        }
    }
}

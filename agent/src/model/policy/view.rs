//! The policies of each local pod in the shape in which the agent tells them to `weft debug`.
//!
//! The names of the fields are a stable interface, since `weft debug -j` prints them.

use serde::{Deserialize, Serialize};

use super::{Action, MtlsMode, PolicyId, Ports, Support, held::Applicable};
use crate::model::{Mesh, Pod};

/// A policy that holds for a pod of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// The pod as `namespace/name`; none where the policy is told only since something is wrong with it.
    pub pod: Option<String>,
    /// `AuthenticationPolicy` or `AuthorizationPolicy`.
    pub kind: String,
    /// The policy's namespace.
    pub namespace: String,
    /// The policy's name.
    pub name: String,
    /// `ALLOW`, `DENY`, `AUDIT`, `Strict`, `Permissive`, or `-` where it has no mode for all ports.
    pub action: String,
    /// The ports that it holds for; all where there is none.
    pub ports: Vec<u16>,
    /// How many rules it has, or ports with a setting of their own.
    pub rules: usize,
    /// Whether all of it is understood; else it denies.
    pub understood: bool,
    /// What is wrong with it; the model does not know, whoever read it fills it in.
    pub problems: Vec<String>,
}

// === impl Mesh ===

impl Mesh {
    /// The policies of this node's pods, by pod, then in the order in which they are looked at.
    pub fn policy_views(&self) -> Vec<PolicyView> {
        let mut pods: Vec<_> = self.pods.values().collect();
        pods.sort_by_key(|pod| &pod.name);
        let held = pods
            .into_iter()
            .filter_map(|pod| Some((pod, self.compiled.applicable(&pod.uid)?)));
        held.flat_map(|(pod, applicable)| applicable.views(pod)).collect()
    }
}

// === impl Applicable ===

impl Applicable {
    fn views(&self, pod: &Pod) -> Vec<PolicyView> {
        let undecodable = self.scope.undecodable.iter().map(|id| PolicyView::new(id, &Ports::All));
        let authentication = self.authentication().map(|(policy, ports)| PolicyView {
            action: policy.mtls.mode.map_or("-", MtlsMode::label).to_owned(),
            rules: policy.mtls.ports.len(),
            understood: policy.support == Support::Whole,
            ..PolicyView::new(&policy.id(), ports)
        });
        let authorization = self.authorization().map(|(policy, ports)| PolicyView {
            action: Action::label(policy.action).to_owned(),
            rules: policy.rules.len(),
            understood: policy.support == Support::Whole,
            ..PolicyView::new(&policy.id(), ports)
        });
        let all = undecodable.chain(authentication).chain(authorization);
        all.map(|view| PolicyView {
            pod: Some(pod.name.to_string()),
            ..view
        })
        .collect()
    }
}

// === impl PolicyView ===

impl PolicyView {
    /// One of which nothing is known but its name.
    pub fn new(id: &PolicyId, ports: &Ports) -> Self {
        Self {
            pod: None,
            kind: id.kind.label().to_owned(),
            namespace: id.name.namespace.to_string(),
            name: id.name.name.to_string(),
            action: "-".to_owned(),
            ports: match ports {
                Ports::All => Vec::new(),
                Ports::Only(ports) => ports.to_vec(),
            },
            rules: 0,
            understood: false,
            problems: Vec::new(),
        }
    }

    /// `Kind namespace/name`, as problems name their object.
    pub fn object(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

//! The status of policies, as GEP-713 has it: for each target, who looked at the policy and what came of it. And that of the
//! MeshConfig, which has no target.
//!
//! The controller writes it; nothing here reads it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyStatus {
    /// For each target, what became of the policy.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub(crate) ancestors: Vec<PolicyAncestor>,
}

/// What became of the MeshConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MeshConfigStatus {
    /// What became of it.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub(crate) conditions: Vec<Condition>,
}

/// What became of a policy for one of its targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyAncestor {
    /// The target: a Service of `targetRefs`, or the policy's namespace where it targets none.
    pub(crate) ancestor_ref: AncestorReference,
    /// Who says so.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) controller_name: String,
    /// What became of the policy.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub(crate) conditions: Vec<Condition>,
}

/// An object for which a policy holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AncestorReference {
    /// The group of its kind; empty for Kubernetes' core.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub(crate) group: String,
    /// Its kind.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) kind: String,
    /// Its namespace; the policy's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub(crate) namespace: Option<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// The part of it: the name of a Service's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub(crate) section_name: Option<String>,
}

/// One thing that is so or is not, as Kubernetes writes conditions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What it is about, such as `Accepted`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub(crate) kind: String,
    /// Whether it is so: `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub(crate) status: String,
    /// Why, as one word for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub(crate) message: String,
    /// Since when the status is what it is.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_transition_time: String,
    /// The generation of the object that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(crate) observed_generation: Option<i64>,
}

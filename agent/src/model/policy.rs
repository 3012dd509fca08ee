//! Security policies: as their authors wrote them, and compiled for the pods of this node when the mesh changes.
//!
//! ```text
//! Policies ─scope─▶ by namespace ─held─▶ by local pod ─┬─▶ RuleSet   authorise(pod, port, caller)
//!                                                      └─▶ Mtls      admits_plaintext(pod, port, from)
//!          ─remote─▶ what a client must ask of a destination         requires_mtls(endpoint, port)
//! ```
//!
//! Whatever is not understood denies: a policy of which a part is unknown denies its targets, one that cannot be decoded
//! at all denies its namespace's pods, and in the system namespace all pods.

mod authentication;
mod authorization;
mod caller;
mod clause;
mod compiled;
mod decision;
mod explain;
mod held;
mod mtls;
mod question;
mod remote;
mod rules;
#[cfg(test)]
pub(crate) mod sample;
mod scope;
mod target;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use authentication::{AuthenticationPolicy, Mtls as WrittenMtls, MtlsMode, PortMtls};
pub use authorization::{Action, AuthorizationPolicy, IpBlock, Operation, Principal, Rule, Source};
pub use caller::Caller;
pub use decision::{Decider, Decision, Verdict, Why};
pub use explain::{Explanation, Unanswerable, explain};
pub use mtls::{PortAuthentication, Setting};
pub use question::{From, KnownCaller, Question, To, Unnamed, label};
pub use target::{Membership, Ports, ServiceTarget, Target};
pub use view::PolicyView;

pub(super) use compiled::{Compiled, Given};

use super::{ObjectName, PodUid, mesh::same_value};

/// All that is to be known of policies, in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Each AuthenticationPolicy.
    pub authentication: Vec<Arc<AuthenticationPolicy>>,
    /// Each AuthorizationPolicy.
    pub authorization: Vec<Arc<AuthorizationPolicy>>,
    /// Those of which no good state was ever seen.
    pub undecodable: Vec<PolicyId>,
    /// By which targeted Services this node's pods are reached.
    pub memberships: BTreeMap<PodUid, Vec<Membership>>,
    /// The namespaces that carry `weft.dev/mesh: enabled`.
    pub enrolled_namespaces: BTreeSet<Arc<str>>,
    /// A fingerprint of the NetworkPolicies of each namespace that has some.
    pub network_policies: BTreeMap<Arc<str>, u64>,
}

/// Which policy something comes from, shown as `Kind namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyId {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its name.
    pub name: ObjectName,
}

/// A kind of security policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// How peers prove who they are.
    AuthenticationPolicy,
    /// Who may connect.
    AuthorizationPolicy,
}

/// Whether all of a policy is understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Support {
    /// All of it.
    #[default]
    Whole,
    /// Not all of it: it denies its targets, whatever else it says.
    Partial,
}

// === impl Policies ===

impl Policies {
    /// The next ones; those that are as they were stay the same values.
    pub(super) fn taken_over(&self, next: Self) -> Self {
        Self {
            authentication: same_values(&self.authentication, next.authentication, |policy| &policy.name),
            authorization: same_values(&self.authorization, next.authorization, |policy| &policy.name),
            ..next
        }
    }
}

// === impl PolicyKind ===

impl PolicyKind {
    /// The kind as manifests write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::AuthenticationPolicy => "AuthenticationPolicy",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
        }
    }
}

// === impl PolicyId ===

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.label(), self.name)
    }
}

/// Both lists are in the order of names.
fn same_values<T: PartialEq>(old: &[Arc<T>], new: Vec<Arc<T>>, name: fn(&T) -> &ObjectName) -> Vec<Arc<T>> {
    let mut old = old.iter().peekable();
    new.into_iter()
        .map(|policy| {
            while old.next_if(|old| name(old) < name(&policy)).is_some() {}
            same_value(old.peek().copied().filter(|old| name(old) == name(&policy)), policy)
        })
        .collect()
}

#[cfg(test)]
mod tests;

//! The decisions themselves.

use std::{net::IpAddr, sync::Arc};

use super::{Caller, PolicyId, PortAuthentication, Target, clause::Held, held::PodPolicies};
use crate::model::{Endpoint, Mesh, Pod};

/// What the policies of a pod say of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may come in.
    pub verdict: Verdict,
    /// The policy that decided, of several the first: the system namespace's before others, then by name. Where no ALLOW
    /// matches it is one of those that could have. None where no policy holds.
    pub by: Option<Decider>,
    /// The AUDIT policies that match: the system namespace's first, each in the order of names.
    pub audited: Vec<Arc<PolicyId>>,
}

/// Whether a connection may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Denied(Why),
}

/// Why a connection may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// A DENY policy matches.
    DenyMatches,
    /// There are ALLOW policies, and none of them matches.
    NoAllowMatches,
    /// A policy of the pod, its namespace or the system namespace is not understood.
    NotUnderstood,
    /// The pod is none of this node.
    NoSuchPod,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// The policy.
    pub policy: Arc<PolicyId>,
    /// The index of the rule in it, where a rule of it matched.
    pub rule: Option<usize>,
}

// === impl Mesh ===

impl Mesh {
    /// What the AuthorizationPolicies of a local pod say of a connection to one of its ports.
    ///
    /// Nothing is allocated unless an AUDIT policy matches. An enrolled pod's mode of mutual TLS is another question:
    /// [`Mesh::admits_plaintext`].
    pub fn authorise(&self, pod: &Pod, port: u16, caller: &Caller<'_>) -> Decision {
        let Some(policies) = self.compiled.of(&pod.uid) else {
            return Decision {
                verdict: Verdict::Denied(Why::NoSuchPod),
                by: None,
                audited: Vec::new(),
            };
        };
        policies.authorise(port, &caller.canonical())
    }

    /// Whether a peer at an address may come to a port of a local pod in plaintext.
    pub fn admits_plaintext(&self, pod: &Pod, port: u16, from: IpAddr) -> bool {
        self.compiled.of(&pod.uid).is_some_and(|policies| {
            policies.obscure_at(port).is_none() && policies.mtls.at(port).admits_plaintext(from)
        })
    }

    /// Whether plaintext is refused on some port of a local pod.
    pub fn is_strict_anywhere(&self, pod: &Pod) -> bool {
        self.compiled.of(&pod.uid).is_some_and(PodPolicies::is_strict_anywhere)
    }

    /// Whether plaintext is refused on some port of some pod of an enrolled namespace, as far as one can know without the
    /// pods.
    pub(in crate::model) fn may_be_strict(&self, namespace: &str) -> bool {
        let targets_services = |target: &Target| matches!(target, Target::Services(_));
        self.compiled.remote().may_be_strict(namespace)
            || self.policies.authentication.iter().any(|policy| {
                *policy.name.namespace == *namespace
                    && targets_services(&policy.target)
                    && policy.mtls.is_strict_anywhere()
            })
    }

    /// How peers of a local pod prove who they are on one of its ports, and which policies say so.
    pub fn authentication(&self, pod: &Pod, port: u16) -> Option<&PortAuthentication> {
        self.compiled.of(&pod.uid).map(|policies| policies.mtls.at(port))
    }

    /// Whether a client must not speak plaintext with a port of this destination, which need not be the endpoint's own.
    ///
    /// A pod of this node is known; of others no labels are, so that one Strict policy with a selector means its whole
    /// namespace. Namespaces that are not enrolled are Strict only where their own policies say so.
    pub fn requires_mtls(&self, endpoint: &Endpoint, port: u16) -> bool {
        let local = endpoint.pod.as_ref().and_then(|(uid, _)| self.pods.get(uid));
        match local.and_then(|pod| Some((pod, self.compiled.of(&pod.uid)?))) {
            Some((pod, policies)) => {
                pod.enrolled() && (policies.obscure_at(port).is_some() || policies.mtls.at(port).is_strict())
            }
            None => self.compiled.remote().requires_mtls(endpoint, port),
        }
    }

    /// Something that differs whenever the NetworkPolicies of a namespace do.
    pub fn network_policy_version(&self, namespace: &str) -> u64 {
        self.policies
            .network_policies
            .get(namespace)
            .copied()
            .unwrap_or_default()
    }
}

// === impl PodPolicies ===

impl PodPolicies {
    fn authorise(&self, port: u16, caller: &Caller<'_>) -> Decision {
        let (verdict, by) = self.verdict(port, caller);
        Decision {
            verdict,
            by,
            audited: self
                .audit
                .all(port, caller)
                .into_iter()
                .map(|held| Arc::clone(&held.id))
                .collect(),
        }
    }

    fn verdict(&self, port: u16, caller: &Caller<'_>) -> (Verdict, Option<Decider>) {
        let by = |(held, rule): (&Held, usize)| Decider {
            policy: Arc::clone(&held.id),
            rule: Some(rule),
        };
        let whole = |policy: &Arc<PolicyId>| Decider {
            policy: Arc::clone(policy),
            rule: None,
        };
        if let Some(policy) = self.obscure_at(port) {
            return (Verdict::Denied(Why::NotUnderstood), Some(whole(policy)));
        }
        if let Some(found) = self.deny.first(port, caller) {
            return (Verdict::Denied(Why::DenyMatches), Some(by(found)));
        }
        let Some(allowing) = self.allow.holding(port) else {
            return (Verdict::Allowed, None);
        };
        match self.allow.first(port, caller) {
            Some(found) => (Verdict::Allowed, Some(by(found))),
            None => (Verdict::Denied(Why::NoAllowMatches), Some(whole(&allowing.id))),
        }
    }
}

// === impl Why ===

impl Why {
    /// The reason as tables and JSON show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::DenyMatches => "deny_matches",
            Self::NoAllowMatches => "no_allow_matches",
            Self::NotUnderstood => "not_understood",
            Self::NoSuchPod => "no_such_pod",
        }
    }
}

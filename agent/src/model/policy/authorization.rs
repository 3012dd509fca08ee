//! AuthorizationPolicy, as written: who may connect to a workload.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{PolicyId, PolicyKind, Support, Target};
use crate::model::ObjectName;

/// An AuthorizationPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationPolicy {
    /// Namespace and name.
    pub name: ObjectName,
    /// Which pods it holds for.
    pub target: Target,
    /// What it does with what its rules match.
    pub action: Action,
    /// It matches what any of them matches; nothing where there is none.
    pub rules: Vec<Rule>,
    /// Whether all of it is understood.
    pub support: Support,
}

/// What a policy does with what its rules match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Lets it in; with at least one such policy for a target, whatever none of them matches is denied.
    #[default]
    Allow,
    /// Refuses it, whatever else would let it in.
    Deny,
    /// Records it.
    Audit,
}

/// Matches a connection that one of `from` and one of `to` match; an empty list matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Who connects.
    pub from: Vec<Source>,
    /// Where to.
    pub to: Vec<Operation>,
}

/// Who connects: all that is given must match; an empty list is not given.
///
/// What must be proven and is not never matches in an ALLOW policy. The not-forms of a DENY or AUDIT policy do match it:
/// who cannot show that he is not meant, is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// One of these identities.
    pub principals: Vec<Principal>,
    /// None of these.
    pub not_principals: Vec<Principal>,
    /// An identity of one of these namespaces, in the mesh's own trust domain.
    pub namespaces: Vec<Arc<str>>,
    /// Of none of these.
    pub not_namespaces: Vec<Arc<str>>,
    /// A pod with all of these labels.
    pub pod_labels: BTreeMap<String, String>,
    /// A pod that has not all of these.
    pub not_pod_labels: BTreeMap<String, String>,
    /// An address in one of these.
    pub ip_blocks: Vec<IpBlock>,
    /// In none of these.
    pub not_ip_blocks: Vec<IpBlock>,
    /// Whether it asks for something that only an L7 protocol tells, too.
    pub needs_l7: bool,
}

/// Where a connection goes: all that is given must match; an empty list is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// One of these ports of the pod.
    pub ports: Vec<u16>,
    /// None of these.
    pub not_ports: Vec<u16>,
    /// Whether it asks for something that only an L7 protocol tells, too.
    pub needs_l7: bool,
}

/// Identities, by what they have in common; without a trust domain that of the mesh is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// `*`: whoever has proven an identity.
    Any,
    /// `shop/*` or `spiffe://trust.domain/ns/shop/sa/*`.
    Namespace {
        /// The trust domain.
        trust_domain: Option<Arc<str>>,
        /// The namespace.
        namespace: Arc<str>,
    },
    /// `shop/cart` or `spiffe://trust.domain/ns/shop/sa/cart`.
    Account {
        /// The trust domain.
        trust_domain: Option<Arc<str>>,
        /// The namespace.
        namespace: Arc<str>,
        /// The service account.
        service_account: Arc<str>,
    },
}

/// A range of addresses with holes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpBlock {
    /// The range.
    pub cidr: IpNet,
    /// The holes.
    pub except: Vec<IpNet>,
}

// === impl AuthorizationPolicy ===

impl AuthorizationPolicy {
    /// Which policy it is.
    pub fn id(&self) -> PolicyId {
        PolicyId {
            kind: PolicyKind::AuthorizationPolicy,
            name: self.name.clone(),
        }
    }
}

// === impl Action ===

impl Action {
    /// The action as manifests write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Audit => "AUDIT",
        }
    }
}

// === impl Principal ===

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trust_domain, namespace, service_account) = match self {
            Self::Any => return f.write_str("*"),
            Self::Namespace {
                trust_domain,
                namespace,
            } => (trust_domain, namespace, "*"),
            Self::Account {
                trust_domain,
                namespace,
                service_account,
            } => (trust_domain, namespace, &**service_account),
        };
        match trust_domain {
            Some(trust_domain) => write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"),
            None => write!(f, "{namespace}/{service_account}"),
        }
    }
}

//! AuthenticationPolicy, as written: how peers of a workload prove who they are.

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{PolicyId, PolicyKind, Support, Target};
use crate::model::ObjectName;

/// An AuthenticationPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticationPolicy {
    /// Namespace and name.
    pub name: ObjectName,
    /// `metadata.creationTimestamp` in seconds since 1970: of two policies for one value the older one wins, then the first
    /// by name. One without is younger than all that have one.
    pub created: Option<i64>,
    /// Which pods it holds for.
    pub target: Target,
    /// `spec.mtls`.
    pub mtls: Mtls,
    /// Whether all of it is understood.
    pub support: Support,
}

/// What a policy says of mutual TLS; whatever it leaves out, a less specific policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mtls {
    /// The mode of all ports.
    pub mode: Option<MtlsMode>,
    /// Who may come in plaintext although the mode is Strict.
    pub plaintext_from: Option<Arc<[IpNet]>>,
    /// What is otherwise on single ports of the pod.
    pub ports: BTreeMap<u16, PortMtls>,
}

/// What a policy says of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMtls {
    /// The mode of this port.
    pub mode: Option<MtlsMode>,
    /// Who may come in plaintext to this port although the mode is Strict.
    pub plaintext_from: Option<Arc<[IpNet]>>,
}

/// Whether mutual TLS is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MtlsMode {
    /// Plaintext is taken too, from peers that do not speak the mesh's TLS.
    #[default]
    Permissive,
    /// Plaintext is refused.
    Strict,
}

// === impl AuthenticationPolicy ===

impl AuthenticationPolicy {
    /// Which policy it is.
    pub fn id(&self) -> PolicyId {
        PolicyId {
            kind: PolicyKind::AuthenticationPolicy,
            name: self.name.clone(),
        }
    }

    /// What decides between two policies for one value: the smaller one wins.
    pub fn age(&self) -> (bool, Option<i64>, &ObjectName) {
        (self.created.is_none(), self.created, &self.name)
    }
}

// === impl Mtls ===

impl Mtls {
    /// Whether it asks for Strict on any port.
    pub fn is_strict_anywhere(&self) -> bool {
        self.mode == Some(MtlsMode::Strict) || self.ports.values().any(|port| port.mode == Some(MtlsMode::Strict))
    }
}

// === impl MtlsMode ===

impl MtlsMode {
    /// The mode as manifests write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Permissive => "Permissive",
            Self::Strict => "Strict",
        }
    }
}

//! Pods of this agent's node.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{ObjectName, PodUid};

/// A pod of this node, enrolled or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Kubernetes' UID.
    pub uid: PodUid,
    /// Namespace and name.
    pub name: ObjectName,
    /// The service account's name.
    pub service_account: Arc<str>,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// `status.podIPs`; the addresses which its namespace really has are the kernel room's business.
    pub ips: Vec<IpAddr>,
    /// The ports its containers declare.
    pub ports: Vec<ContainerPort>,
    /// Ports of liveness, readiness and startup probes, resolved to numbers, sorted, without doubles.
    pub probe_ports: Vec<u16>,
    /// The annotation `weft.dev/netns`: a path of the pod's network namespace; else it is found by scanning /proc.
    pub netns: Option<PathBuf>,
    /// Whether the pod is in the mesh, and else why not.
    pub enrolment: Enrolment,
    /// What happens to new connections while the agent is away.
    pub on_agent_failure: OnAgentFailure,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPort {
    /// The port's name, by which services may refer to it.
    pub name: Option<String>,
    /// The number.
    pub port: u16,
    /// TCP or UDP.
    pub transport: super::Transport,
}

/// Whether a pod is in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enrolment {
    /// Its namespace or itself carries `weft.dev/mesh: enabled`.
    Enrolled,
    /// It is out, for this reason.
    Out(NotEnrolled),
}

/// Why a pod is not in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NotEnrolled {
    /// Neither its namespace nor itself carries the label.
    NoLabel,
    /// It carries `weft.dev/mesh: disabled`.
    OptedOut,
    /// `spec.hostNetwork` is true.
    HostNetwork,
    /// `spec.runtimeClassName` names a sandbox with a kernel of its own (gVisor, Kata).
    Sandboxed,
    /// One of its containers is another mesh's sidecar.
    OtherSidecar,
    /// It has ended (phase Succeeded or Failed).
    Ended,
}

/// What happens to a pod's new connections while the agent is away: `weft.dev/on-agent-failure` of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnAgentFailure {
    /// They pass by the mesh.
    #[default]
    Open,
    /// They wait.
    Closed,
}

// === impl Pod ===

impl Pod {
    /// Whether the pod is in the mesh.
    pub fn enrolled(&self) -> bool {
        self.enrolment == Enrolment::Enrolled
    }
}

// === impl NotEnrolled ===

impl NotEnrolled {
    /// Whether the pod's addresses are its own: not the node's, and not left behind by its end.
    pub fn has_own_network(self) -> bool {
        match self {
            Self::HostNetwork | Self::Ended => false,
            Self::NoLabel | Self::OptedOut | Self::Sandboxed | Self::OtherSidecar => true,
        }
    }

    /// The reason as tables and JSON show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoLabel => "no_label",
            Self::OptedOut => "opted_out",
            Self::HostNetwork => "host_network",
            Self::Sandboxed => "sandboxed",
            Self::OtherSidecar => "other_sidecar",
            Self::Ended => "ended",
        }
    }
}

// === impl OnAgentFailure ===

impl OnAgentFailure {
    /// The value as the label writes it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

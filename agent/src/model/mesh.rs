//! The mesh as one agent sees it at one moment.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;

use super::{Endpoint, ObjectName, Pod, PodUid, Service, ServicePort};

/// Everything the agent knows, immutable; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    /// Counts up with each change.
    pub generation: u64,
    /// The node that this agent serves.
    pub node: Arc<str>,
    /// The zone of that node.
    pub zone: Option<Arc<str>>,
    /// Settings of the whole mesh.
    pub config: MeshConfig,
    /// This node's pods, enrolled or not.
    pub pods: BTreeMap<PodUid, Arc<Pod>>,
    /// Every service of the cluster.
    pub services: BTreeMap<ObjectName, Arc<Service>>,
    /// Addresses whose connections are never captured, beside those that [`agent_common`] fixes.
    pub exemptions: Vec<Exemption>,
    pub(super) by_service_address: HashMap<SocketAddr, (Arc<Service>, usize)>,
    pub(super) by_endpoint_ip: HashMap<IpAddr, Arc<Endpoint>>,
    pub(super) pod_by_ip: HashMap<IpAddr, PodUid>,
}

/// Settings of the whole mesh: `MeshConfig`, cluster-scoped, named `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshConfig {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Whether pods may reach addresses that are not in the model.
    pub egress: EgressMode,
    /// Whether UDP that leaves the cluster is refused.
    pub deny_udp_egress: bool,
    /// The addresses of pods, where the operator names them.
    pub pod_cidrs: Vec<IpNet>,
}

/// What happens to connections to addresses that are not in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressMode {
    /// They pass as bytes.
    #[default]
    Allow,
    /// They are refused.
    Deny,
}

/// An address of which connections are never captured: the API server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exemption(pub SocketAddr);

/// What an original destination is.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A port of a service: one of its endpoints is to be picked.
    Service {
        /// The service.
        service: Arc<Service>,
        /// The index of the port in [`Service::ports`].
        port: usize,
    },
    /// A pod's own address (headless services too): that pod only.
    Pod(Arc<Endpoint>),
    /// An address that is nobody's in the model: bytes, exactly there.
    Unknown,
}

/// Why an original destination cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The address is a service's, but the service has no such port.
    NoSuchPort,
}

// === impl MeshConfig ===

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            cluster_domain: "cluster.local".into(),
            egress: EgressMode::Allow,
            deny_udp_egress: false,
            pod_cidrs: Vec::new(),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// The port of the service, where the destination is one.
    pub fn service_port(&self) -> Option<&ServicePort> {
        match self {
            Self::Service { service, port } => service.ports.get(*port),
            Self::Pod(_) | Self::Unknown => None,
        }
    }
}

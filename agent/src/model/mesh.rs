//! The mesh as one agent sees it at one moment, and what an address is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    AppProtocol, Candidates, Endpoint, Family, MtlsMode, ObjectName, OnAgentFailure, Pod, PodUid, Policies, Ranges,
    Service, ServicePort, Transport,
    index::Index,
    policy::{Compiled, Given},
    route::{self, Placed as PlacedRoutes, Route, Routes},
};

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
    /// The namespaces whose label has their pods fail closed.
    pub failing_closed: BTreeSet<Arc<str>>,
    /// The policies, as written.
    pub policies: Policies,
    /// The routes, as written.
    pub written_routes: Vec<Arc<Route>>,
    index: Index,
    pub(super) compiled: Compiled,
    pub(super) routes: route::Compiled,
}

/// What a [`Mesh`] is built from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contents {
    /// See [`Mesh::generation`].
    pub generation: u64,
    /// See [`Mesh::node`].
    pub node: Arc<str>,
    /// See [`Mesh::zone`].
    pub zone: Option<Arc<str>>,
    /// See [`Mesh::config`].
    pub config: MeshConfig,
    /// See [`Mesh::pods`].
    pub pods: Vec<Arc<Pod>>,
    /// See [`Mesh::services`].
    pub services: Vec<Arc<Service>>,
    /// See [`Mesh::exemptions`].
    pub exemptions: Vec<Exemption>,
    /// See [`Mesh::failing_closed`].
    pub failing_closed: BTreeSet<Arc<str>>,
    /// See [`Mesh::policies`].
    pub policies: Policies,
    /// See [`Mesh::written_routes`].
    pub routes: Vec<Arc<Route>>,
}

/// Settings of the whole mesh: `MeshConfig`, cluster-scoped, named `default`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshConfig {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Whether pods may reach addresses that are not in the model.
    pub egress: EgressMode,
    /// Whether UDP that enrolled pods send out of the cluster is refused, by connect() and by sendmsg().
    ///
    /// Inside are the pods' ranges, cluster IPs, endpoints, this node's pods, and what is never captured. Questions to a
    /// resolver leave where the agent answers DNS: it sends on what it does not know. A socket that was connected before
    /// keeps sending, and raw sockets are nobody's business here.
    pub deny_udp_egress: bool,
    /// The addresses of pods: as the operator names them, else those of the nodes, else of each pod that is known.
    pub pod_cidrs: Ranges,
    /// Whether mutual TLS is needed where no AuthenticationPolicy says it.
    pub mtls: MtlsMode,
    /// The namespace whose policies hold for the whole mesh.
    pub system_namespace: String,
}

/// What happens to connections to addresses that are not in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EgressMode {
    /// They pass as bytes.
    #[default]
    Allow,
    /// They are refused.
    Deny,
}

/// An address of which connections are never captured: the API server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
        /// Who may serve this client; the connection is refused where it is empty.
        candidates: Candidates,
    },
    /// A pod's own address (headless services too): that pod only, on the very port that the client dialled, which need
    /// not be the one of this endpoint.
    Pod(Arc<Endpoint>),
    /// An address that is nobody's in the model: bytes, exactly there.
    Unknown,
}

/// Why an original destination cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The address is a cluster IP of this service, which has no such port.
    NoSuchPort(Arc<Service>),
}

// === impl Mesh ===

impl Mesh {
    /// Builds the lookups over what is given; the order of pods and services does not matter.
    pub fn new(contents: Contents) -> Self {
        Self::build(contents, None, None)
    }

    fn build(contents: Contents, previous: Option<&Compiled>, previous_routes: Option<&route::Compiled>) -> Self {
        let Contents {
            generation,
            node,
            zone,
            config,
            pods,
            services,
            exemptions,
            failing_closed,
            policies,
            routes: written_routes,
        } = contents;
        let services = services
            .into_iter()
            .map(|service| (service.name.clone(), service))
            .collect();
        let given = Given {
            policies: &policies,
            config: &config,
            services: &services,
        };
        let (compiled, pods) = Compiled::new(given, pods, previous);
        let routes = route::Compiled::new(&written_routes, &services, previous_routes);
        let index = Index::new(&pods, &services, &node, zone.as_deref(), routes.backends());
        Self {
            generation,
            node,
            zone,
            config,
            pods,
            services,
            exemptions,
            failing_closed,
            policies,
            written_routes,
            index,
            compiled,
            routes,
        }
    }

    /// The next mesh, unless these contents are what this one already holds; its generation is one higher.
    ///
    /// Pods and services that are as they were stay the same values, so that keeping an old mesh for a while costs little.
    pub fn changed(&self, contents: Contents) -> Option<Self> {
        let services = contents
            .services
            .into_iter()
            .map(|service| same_value(self.services.get(&service.name), service))
            .collect();
        let contents = Contents {
            generation: self.generation + 1,
            services,
            policies: self.policies.taken_over(contents.policies),
            ..contents
        };
        let next = Self::build(contents, Some(&self.compiled), Some(&self.routes));
        let differs = next.node != self.node
            || next.zone != self.zone
            || next.config != self.config
            || next.exemptions != self.exemptions
            || next.failing_closed != self.failing_closed
            || next.policies != self.policies
            || next.written_routes != self.written_routes
            || next.pods != self.pods
            || next.services != self.services;
        differs.then_some(next)
    }

    /// What it was built from: the same mesh can be built again.
    pub fn contents(&self) -> Contents {
        Contents {
            generation: self.generation,
            node: Arc::clone(&self.node),
            zone: self.zone.clone(),
            config: self.config.clone(),
            pods: self.compiled.given().collect(),
            services: self.services.values().cloned().collect(),
            exemptions: self.exemptions.clone(),
            failing_closed: self.failing_closed.clone(),
            policies: self.policies.clone(),
            routes: self.written_routes.clone(),
        }
    }

    /// The routes that decide on what clients of a namespace send to a port of a Service; without any it goes to the
    /// Service's own endpoints.
    pub fn routes(&self, service: &ObjectName, port: u16, client_namespace: &str) -> Option<&Arc<Routes>> {
        self.routes.of(service, port, client_namespace)
    }

    /// The routes of all ports of Services, in order.
    pub fn all_routes(&self) -> Vec<PlacedRoutes<'_>> {
        self.routes.all()
    }

    /// The endpoints behind a port to which a rule sends requests, for clients that have dialled an address of `family`:
    /// always a [`Destination::Service`]; none where no rule names the port.
    pub fn backend(&self, service: &ObjectName, port: u16, family: Family) -> Option<Destination> {
        self.index.backend(service, port, family)
    }

    /// Says what the original destination of a connection is.
    ///
    /// Only cluster IPs refuse ports that their service has not. An external address may be a real machine's, whose
    /// other ports are none of the service's.
    pub fn resolve(&self, address: SocketAddr, transport: Transport) -> Result<Destination, Unresolved> {
        self.index.resolve(address, transport)
    }

    /// The endpoint or local pod behind an address, where the address tells; its own port need not be this one.
    pub fn endpoint_at(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        self.index.endpoint_at(address)
    }

    /// What an endpoint's own port speaks, as the first service by name says that has it and declares anything.
    pub fn app_protocol_at(&self, address: SocketAddr) -> Option<AppProtocol> {
        self.index.app_protocol_at(address)
    }

    /// The namespaces whose label takes their pods in, each with what happens to a pod of which nothing else is known
    /// while the agent is away: it may be one of those for which a policy is Strict.
    pub fn enrolled_namespaces(&self) -> BTreeMap<Arc<str>, OnAgentFailure> {
        let closed = |name: &Arc<str>| self.failing_closed.contains(name) || self.may_be_strict(name);
        let names = self.policies.enrolled_namespaces.iter();
        let with_failure = |name: &Arc<str>| match closed(name) {
            true => (Arc::clone(name), OnAgentFailure::Closed),
            false => (Arc::clone(name), OnAgentFailure::Open),
        };
        names.map(with_failure).collect()
    }

    /// The pod of this node that has this address for itself.
    pub fn pod_at(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        self.pods.get(self.index.pod_uid_at(ip)?)
    }
}

// === impl MeshConfig ===

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            cluster_domain: "cluster.local".into(),
            egress: EgressMode::Allow,
            deny_udp_egress: false,
            pod_cidrs: Ranges::default(),
            mtls: MtlsMode::Permissive,
            system_namespace: "weft-system".into(),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// The port of the service, where the destination is one.
    pub fn service_port(&self) -> Option<&ServicePort> {
        match self {
            Self::Service { service, port, .. } => service.ports.get(*port),
            Self::Pod(_) | Self::Unknown => None,
        }
    }
}

pub(super) fn same_value<T: PartialEq>(old: Option<&Arc<T>>, new: Arc<T>) -> Arc<T> {
    old.filter(|old| **old == new).map_or(new, Arc::clone)
}

#[cfg(test)]
mod tests;

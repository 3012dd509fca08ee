//! Kubernetes' objects as far as the mesh reads them, each valid in itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};

use ipnet::IpNet;

use crate::model::{
    self, AuthenticationPolicy, AuthorizationPolicy, ContainerPort, EgressMode, EndpointHints, Family, MtlsMode,
    NotEnrolled, ObjectName, OnAgentFailure, PodUid, PolicyId, PolicyKind, Route, RouteId, RouteKind, Transport,
};

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Namespace,
    Pod,
    Service,
    EndpointSlice,
    Node,
    MeshConfig,
    AuthenticationPolicy,
    AuthorizationPolicy,
    NetworkPolicy,
    GrpcRoute,
    HttpRoute,
    TlsRoute,
    TcpRoute,
}

/// What tells one object from all others; the namespace is empty for kinds of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) name: ObjectName,
}

/// An object of one of the kinds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Namespace(Arc<Namespace>),
    Pod(Arc<Pod>),
    Service(Arc<Service>),
    EndpointSlice(Arc<Slice>),
    Node(Arc<Node>),
    MeshConfig(Arc<model::MeshConfig>),
    AuthenticationPolicy(Arc<AuthenticationPolicy>),
    AuthorizationPolicy(Arc<AuthorizationPolicy>),
    /// A fingerprint.
    NetworkPolicy(u64),
    /// Of the kind of the key.
    Route(Arc<Route>),
}

/// All objects, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) scope: Scope,
    pub(crate) namespaces: BTreeMap<Arc<str>, Arc<Namespace>>,
    pub(crate) pods: BTreeMap<ObjectName, Arc<Pod>>,
    pub(crate) services: BTreeMap<ObjectName, Arc<Service>>,
    pub(crate) slices: BTreeMap<ObjectName, Arc<Slice>>,
    pub(crate) nodes: BTreeMap<Arc<str>, Arc<Node>>,
    pub(crate) mesh_config: MeshSettings,
    pub(crate) authentication: BTreeMap<ObjectName, Arc<AuthenticationPolicy>>,
    pub(crate) authorization: BTreeMap<ObjectName, Arc<AuthorizationPolicy>>,
    /// Security policies of which no good state was ever seen.
    pub(crate) undecodable: BTreeSet<PolicyId>,
    pub(crate) network_policies: BTreeMap<ObjectName, u64>,
    pub(crate) routes: BTreeMap<RouteId, Arc<Route>>,
}

/// Which pods and slices there are among the objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All pods, and of services whose slices lack, the endpoints are those that their selectors say.
    #[default]
    Manifests,
    /// Those pods that were asked for, and all slices: an API server's controllers write them.
    Cluster,
}

/// What is known of the object MeshConfig.
#[derive(Clone, Debug, Default)]
pub(crate) enum MeshSettings {
    /// There is none: the defaults hold.
    #[default]
    Absent,
    /// There is one, of which no good state was ever seen.
    Undecodable,
    /// As it says.
    Given(Arc<model::MeshConfig>),
}

/// A Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespace {
    pub(crate) enrols: Option<MeshLabel>,
    pub(crate) on_agent_failure: OnAgentFailure,
}

/// The label `weft.dev/mesh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeshLabel {
    Enabled,
    Disabled,
}

/// A Pod, of any node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) uid: PodUid,
    pub(crate) service_account: Arc<str>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) enrols: Option<MeshLabel>,
    /// What keeps it out of the mesh whatever the labels say.
    pub(crate) obstacle: Option<NotEnrolled>,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) probe_ports: Vec<u16>,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) subdomain: Option<String>,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
}

/// A Service, its ports still without endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) service: model::Service,
    /// Empty where there is none: the endpoints come from slices only.
    pub(crate) selector: BTreeMap<String, String>,
    /// The target of each port of the service.
    pub(crate) targets: Vec<PortReference>,
    pub(crate) families: Vec<Family>,
}

/// A port by number or by the name that a container gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PortReference {
    Number(u16),
    Name(String),
}

/// An EndpointSlice with the service that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) service: Option<ObjectName>,
    pub(crate) ports: Vec<SlicePort>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlicePort {
    pub(crate) name: String,
    pub(crate) transport: Transport,
    pub(crate) port: u16,
}

/// An endpoint of a slice, which serves all ports of the slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    pub(crate) ip: IpAddr,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) hints: EndpointHints,
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) pod: Option<(PodUid, ObjectName)>,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) pod_cidrs: Vec<IpNet>,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 13] = [
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Node,
        Self::MeshConfig,
        Self::AuthenticationPolicy,
        Self::AuthorizationPolicy,
        Self::NetworkPolicy,
        Self::GrpcRoute,
        Self::HttpRoute,
        Self::TlsRoute,
        Self::TcpRoute,
    ];

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == name)
    }

    /// The name as manifests write it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::MeshConfig => "MeshConfig",
            Self::AuthenticationPolicy => PolicyKind::AuthenticationPolicy.label(),
            Self::AuthorizationPolicy => PolicyKind::AuthorizationPolicy.label(),
            Self::NetworkPolicy => "NetworkPolicy",
            Self::GrpcRoute => RouteKind::GrpcRoute.label(),
            Self::HttpRoute => RouteKind::HttpRoute.label(),
            Self::TlsRoute => RouteKind::TlsRoute.label(),
            Self::TcpRoute => RouteKind::TcpRoute.label(),
        }
    }

    /// The name as the API server's paths write it.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::Node => "nodes",
            Self::MeshConfig => "meshconfigs",
            Self::AuthenticationPolicy => "authenticationpolicies",
            Self::AuthorizationPolicy => "authorizationpolicies",
            Self::NetworkPolicy => "networkpolicies",
            Self::GrpcRoute => "grpcroutes",
            Self::HttpRoute => "httproutes",
            Self::TlsRoute => "tlsroutes",
            Self::TcpRoute => "tcproutes",
        }
    }

    /// Whether it is one of Weft's own kinds or a route, which an API server knows only once they are installed.
    pub(crate) fn is_installed(self) -> bool {
        self.api_version().starts_with("mesh.weft.dev/") || self.is_route()
    }

    /// The version that is read.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::Pod | Self::Service | Self::Node => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::GrpcRoute | Self::HttpRoute | Self::TlsRoute | Self::TcpRoute => "gateway.networking.k8s.io/v1",
            Self::MeshConfig | Self::AuthenticationPolicy | Self::AuthorizationPolicy => "mesh.weft.dev/v1alpha1",
        }
    }

    /// Whether its objects live in namespaces.
    pub(crate) fn is_namespaced(self) -> bool {
        match self {
            Self::Pod
            | Self::Service
            | Self::EndpointSlice
            | Self::AuthenticationPolicy
            | Self::AuthorizationPolicy
            | Self::NetworkPolicy
            | Self::GrpcRoute
            | Self::HttpRoute
            | Self::TlsRoute
            | Self::TcpRoute => true,
            Self::Namespace | Self::Node | Self::MeshConfig => false,
        }
    }

    /// Whether its objects are routes.
    pub(crate) fn is_route(self) -> bool {
        self.api_version().starts_with("gateway.networking.k8s.io/")
    }

    /// The security policy that its objects are.
    pub(crate) fn policy(self) -> Option<PolicyKind> {
        match self {
            Self::AuthenticationPolicy => Some(PolicyKind::AuthenticationPolicy),
            Self::AuthorizationPolicy => Some(PolicyKind::AuthorizationPolicy),
            Self::Namespace
            | Self::Pod
            | Self::Service
            | Self::EndpointSlice
            | Self::Node
            | Self::MeshConfig
            | Self::NetworkPolicy
            | Self::GrpcRoute
            | Self::HttpRoute
            | Self::TlsRoute
            | Self::TcpRoute => None,
        }
    }
}

// === impl MeshSettings ===

impl MeshSettings {
    /// The settings; where none was ever understood, the strict side of each.
    pub(crate) fn effective(&self) -> model::MeshConfig {
        match self {
            Self::Absent => model::MeshConfig::default(),
            Self::Undecodable => model::MeshConfig {
                egress: EgressMode::Deny,
                deny_udp_egress: true,
                mtls: MtlsMode::Strict,
                ..model::MeshConfig::default()
            },
            Self::Given(config) => model::MeshConfig::clone(config),
        }
    }
}

// === impl Key ===

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.namespace.is_empty() {
            true => write!(f, "{} {}", self.kind.label(), self.name.name),
            false => write!(f, "{} {}", self.kind.label(), self.name),
        }
    }
}

// === impl Objects ===

impl Objects {
    /// Sorts objects that are good, and names of those of which no good state was ever seen.
    pub(crate) fn new<'a>(
        scope: Scope,
        objects: impl IntoIterator<Item = (&'a Key, &'a Object)>,
        unknown: &BTreeSet<Key>,
    ) -> Self {
        let policies = unknown.iter().filter_map(|key| {
            Some(PolicyId {
                kind: key.kind.policy()?,
                name: key.name.clone(),
            })
        });
        let mut sorted = Self {
            scope,
            undecodable: policies.collect(),
            ..Self::default()
        };
        if unknown.iter().any(|key| key.kind == Kind::MeshConfig) {
            sorted.mesh_config = MeshSettings::Undecodable;
        }
        // By far the most: their tree is made at once.
        let mut pods = Vec::new();
        for (key, object) in objects {
            if let Object::Pod(pod) = object {
                pods.push((key.name.clone(), Arc::clone(pod)));
            } else {
                sorted.insert(key.name.clone(), object.clone());
            }
        }
        sorted.pods = pods.into_iter().collect();
        sorted
    }

    /// Adds an object under its name.
    fn insert(&mut self, name: ObjectName, object: Object) {
        match object {
            Object::Namespace(namespace) => drop(self.namespaces.insert(name.name, namespace)),
            Object::Pod(pod) => drop(self.pods.insert(name, pod)),
            Object::Service(service) => drop(self.services.insert(name, service)),
            Object::EndpointSlice(slice) => drop(self.slices.insert(name, slice)),
            Object::Node(node) => drop(self.nodes.insert(name.name, node)),
            Object::MeshConfig(config) => self.mesh_config = MeshSettings::Given(config),
            Object::AuthenticationPolicy(policy) => drop(self.authentication.insert(name, policy)),
            Object::AuthorizationPolicy(policy) => drop(self.authorization.insert(name, policy)),
            Object::NetworkPolicy(fingerprint) => {
                self.network_policies.insert(name, fingerprint);
            }
            Object::Route(route) => drop(self.routes.insert(route.id.clone(), route)),
        }
    }
}

//! Services and their endpoints, as kube-proxy understands them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{ObjectName, PodUid};

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Namespace and name.
    pub name: ObjectName,
    /// `spec.clusterIPs`; empty for headless services and ExternalName.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs` and the ingress addresses of its load balancer.
    pub external_ips: Vec<IpAddr>,
    /// Whether `spec.clusterIP` is `None`.
    pub headless: bool,
    /// `spec.externalName`: the DNS name it stands for.
    pub external_name: Option<String>,
    /// Whether not-ready endpoints are published in DNS.
    pub publish_not_ready: bool,
    /// Its ports, in the order of the object; a headless service without any has one of number 0, which holds its addresses.
    pub ports: Vec<ServicePort>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.trafficDistribution`.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `spec.sessionAffinity`.
    pub affinity: Option<Affinity>,
}

/// A port of a Service with the endpoints behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// The port's name; empty where the service has one unnamed port.
    pub name: String,
    /// The number on the service's addresses.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// What the port speaks, as far as its owner said.
    pub app_protocol: Option<AppProtocol>,
    /// The endpoints of all slices that serve this port, each with its own port number, in the order of their addresses.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// An address that serves a port, from an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// The node that it runs on.
    pub node: Option<Arc<str>>,
    /// The zone that it runs in.
    pub zone: Option<Arc<str>>,
    /// Where its traffic should come from.
    pub hints: EndpointHints,
    /// `hostname`, which gives it a DNS name of its own.
    pub hostname: Option<Arc<str>>,
    /// The pod behind it, as `targetRef` names it.
    pub pod: Option<(PodUid, ObjectName)>,
}

/// `hints` of an endpoint; empty lists where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointHints {
    /// `forZones`.
    pub zones: Vec<Arc<str>>,
    /// `forNodes`.
    pub nodes: Vec<Arc<str>>,
}

/// A transport protocol that Weft tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// What a port speaks, by `appProtocol` or by the port's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppProtocol {
    /// Bytes, of which nothing is to be understood.
    Tcp,
    /// TLS of the application's own.
    Tls,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge (`kubernetes.io/h2c`).
    Http2,
    /// gRPC.
    Grpc,
}

/// Which endpoints a service's own clients may get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// All.
    #[default]
    Cluster,
    /// Those on the client's node.
    Local,
}

/// Which endpoints are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficDistribution {
    /// `PreferSameZone`, and its older name `PreferClose`.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
}

/// `ClientIP` affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affinity {
    /// How long after a client's last connection its endpoint is remembered.
    pub timeout: Duration,
}

// === impl AppProtocol ===

impl AppProtocol {
    /// Whether it is HTTP of any version.
    pub fn is_http(self) -> bool {
        match self {
            Self::Http1 | Self::Http2 | Self::Grpc => true,
            Self::Tcp | Self::Tls => false,
        }
    }
}

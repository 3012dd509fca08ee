//! Objects for tests, with defaults: a test writes out only what it is about.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    Contents, Endpoint, EndpointHints, Enrolment, Mesh, ObjectName, OnAgentFailure, Pod, PodUid, Service, ServicePort,
    TrafficPolicy, Transport,
};

/// The node of [`mk_mesh`].
pub(crate) const NODE: &str = "node-1";

/// The zone of [`mk_mesh`].
pub(crate) const ZONE: &str = "zone-a";

/// An enrolled pod of this node with one address; its UID is `uid-<name>`.
pub(crate) fn mk_pod(name: &str, ip: &str) -> Pod {
    Pod {
        uid: PodUid::new(format!("uid-{name}")),
        name: ObjectName::new("default", name),
        service_account: "default".into(),
        labels: BTreeMap::new(),
        ips: vec![mk_ip(ip)],
        ports: Vec::new(),
        probe_ports: Vec::new(),
        netns: None,
        enrolment: Enrolment::Enrolled,
        on_agent_failure: OnAgentFailure::Open,
        terminating: false,
    }
}

/// A service `default/<name>` with these cluster IPs and one TCP port 80, without endpoints.
pub(crate) fn mk_service(name: &str, cluster_ips: &[&str]) -> Service {
    Service {
        name: ObjectName::new("default", name),
        cluster_ips: cluster_ips.iter().map(|ip| mk_ip(ip)).collect(),
        external_ips: Vec::new(),
        headless: cluster_ips.is_empty(),
        external_name: None,
        publish_not_ready: false,
        ports: vec![mk_port(80, Vec::new())],
        internal_traffic_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        affinity: None,
    }
}

/// A TCP port with these endpoints.
pub(crate) fn mk_port(port: u16, endpoints: Vec<Endpoint>) -> ServicePort {
    ServicePort {
        name: String::new(),
        port,
        transport: Transport::Tcp,
        app_protocol: None,
        endpoints: super::merge_endpoints(endpoints.into_iter().map(Arc::new)),
    }
}

/// A ready endpoint on another node, without hints, with a pod named after its address.
pub(crate) fn mk_endpoint(address: &str) -> Endpoint {
    let socket = mk_address(address);
    let name = format!("pod-{}", socket.ip());
    Endpoint {
        address: socket,
        ready: true,
        serving: true,
        terminating: false,
        node: Some("node-2".into()),
        zone: Some("zone-b".into()),
        hints: EndpointHints::default(),
        hostname: None,
        pod: Some((
            PodUid::new(format!("uid-{name}")),
            ObjectName::new("default", name.as_str()),
        )),
    }
}

/// A mesh as [`NODE`] in [`ZONE`] sees it.
pub(crate) fn mk_mesh(pods: Vec<Pod>, services: Vec<Service>) -> Mesh {
    Mesh::new(Contents {
        generation: 1,
        node: NODE.into(),
        zone: Some(ZONE.into()),
        pods: pods.into_iter().map(Arc::new).collect(),
        services: services.into_iter().map(Arc::new).collect(),
        ..Contents::default()
    })
}

/// An IP address.
pub(crate) fn mk_ip(ip: &str) -> IpAddr {
    ip.parse().expect("a test's address is valid")
}

/// A socket address.
pub(crate) fn mk_address(address: &str) -> SocketAddr {
    address.parse().expect("a test's address is valid")
}

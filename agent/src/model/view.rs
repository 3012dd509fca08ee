//! The mesh in the shapes in which the agent tells it to `weft debug`: flat, as text where it is a name.
//!
//! The names of the fields are a stable interface, since `weft debug -j` prints them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use super::{Endpoint, Enrolment, Mesh, Pod, Service, ServicePort, Transport};

/// A pod of the agent's node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodView {
    /// The UID.
    pub uid: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The service account.
    pub service_account: String,
    /// Whether it is in the mesh.
    pub enrolled: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// `open` or `closed`.
    pub on_agent_failure: String,
    /// `status.podIPs`.
    pub ips: Vec<IpAddr>,
    /// The ports which the kubelet probes.
    pub probe_ports: Vec<u16>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Why it is not captured yet, though it is enrolled; the model does not know, whoever knows the kernel fills it in.
    pub waiting: Option<String>,
    /// How long the CNI plugin held it until it was captured; none when it did not, or the agent was started later. The
    /// model does not know, whoever held it fills it in.
    #[serde(default)]
    pub held_seconds: Option<f64>,
    /// Its devices of which connections may slip past; the model does not know, whoever knows the kernel fills it in.
    pub uncaptured_devices: Vec<String>,
}

/// The certificate of a pod of the agent's node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The pod's UID.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// How it stands.
    pub state: CertificateState,
    /// The SPIFFE identity.
    pub identity: Option<String>,
    /// The serial number, in hexadecimal.
    pub serial: Option<String>,
    /// The addresses that it names.
    pub ips: Vec<IpAddr>,
    /// When it ends (RFC 3339).
    pub not_after: Option<String>,
    /// How many seconds it is valid still; negative when it is over.
    pub seconds_left: Option<i64>,
    /// The key of the root that has signed it, in hexadecimal.
    pub root: Option<String>,
    /// Why the last request was refused.
    pub reason: Option<String>,
    /// Whether a stream to the CA is open.
    pub ca_attended: bool,
    /// How many seconds the CA's clock is ahead of the node's.
    pub ca_skew_seconds: f64,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// It can be used.
    Valid,
    /// It is over.
    Expired,
    /// There is none yet.
    Waiting,
}

/// A service of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs` and the addresses of its load balancer.
    pub external_ips: Vec<IpAddr>,
    /// Whether it is headless.
    pub headless: bool,
    /// The DNS name it stands for.
    pub external_name: Option<String>,
    /// Its ports, in the order of the object.
    pub ports: Vec<PortView>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// Its name; empty where the service has one unnamed port.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub transport: String,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// How many of them are ready.
    pub ready: usize,
}

/// An endpoint of a port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// The service as `namespace/name`.
    pub service: String,
    /// The service's port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub transport: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The pod as `namespace/name`.
    pub pod: Option<String>,
    /// Its node.
    pub node: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

// === impl Mesh ===

impl Mesh {
    /// The node's pods by name.
    pub fn pod_views(&self) -> Vec<PodView> {
        let by_name = self
            .pods
            .values()
            .map(|pod| (&pod.name, pod.as_ref()))
            .collect::<BTreeMap<_, _>>();
        by_name.into_values().map(PodView::from).collect()
    }

    /// The services by name.
    pub fn service_views(&self) -> Vec<ServiceView> {
        self.services
            .values()
            .map(|service| ServiceView::from(service.as_ref()))
            .collect()
    }

    /// The endpoints by service, port and address.
    pub fn endpoint_views(&self) -> Vec<EndpointView> {
        self.services
            .values()
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
            .flat_map(|(service, port)| {
                port.endpoints
                    .iter()
                    .map(move |endpoint| EndpointView::new(service, port, endpoint))
            })
            .collect()
    }
}

// === impl PodView ===

impl From<&Pod> for PodView {
    fn from(pod: &Pod) -> Self {
        Self {
            uid: pod.uid.to_string(),
            namespace: pod.name.namespace.to_string(),
            name: pod.name.name.to_string(),
            service_account: pod.service_account.to_string(),
            enrolled: pod.enrolled(),
            reason: match pod.enrolment {
                Enrolment::Enrolled => None,
                Enrolment::Out(why) => Some(why.label().to_owned()),
            },
            on_agent_failure: pod.on_agent_failure.label().to_owned(),
            ips: pod.ips.clone(),
            probe_ports: pod.probe_ports.clone(),
            terminating: pod.terminating,
            waiting: None,
            held_seconds: None,
            uncaptured_devices: Vec::new(),
        }
    }
}

// === impl ServiceView ===

impl From<&Service> for ServiceView {
    fn from(service: &Service) -> Self {
        Self {
            namespace: service.name.namespace.to_string(),
            name: service.name.name.to_string(),
            cluster_ips: service.cluster_ips.clone(),
            external_ips: service.external_ips.clone(),
            headless: service.headless,
            external_name: service.external_name.clone(),
            ports: service.ports.iter().map(PortView::from).collect(),
        }
    }
}

// === impl PortView ===

impl From<&ServicePort> for PortView {
    fn from(port: &ServicePort) -> Self {
        Self {
            name: port.name.clone(),
            port: port.port,
            transport: transport(port.transport),
            endpoints: port.endpoints.len(),
            ready: port.endpoints.iter().filter(|endpoint| endpoint.ready).count(),
        }
    }
}

// === impl EndpointView ===

impl EndpointView {
    fn new(service: &Service, port: &ServicePort, endpoint: &Endpoint) -> Self {
        Self {
            service: service.name.to_string(),
            port: port.port,
            transport: transport(port.transport),
            address: endpoint.address,
            pod: endpoint.pod.as_ref().map(|(_, name)| name.to_string()),
            node: endpoint.node.as_deref().map(str::to_owned),
            zone: endpoint.zone.as_deref().map(str::to_owned),
            ready: endpoint.ready,
            serving: endpoint.serving,
            terminating: endpoint.terminating,
        }
    }
}

fn transport(transport: Transport) -> String {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Sctp => "sctp",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::model::sample::{mk_endpoint, mk_mesh, mk_pod, mk_port, mk_service};

    #[test]
    fn a_pod_keeps_its_json_keys() {
        let mesh = mk_mesh(vec![mk_pod("web-0", "10.244.1.10")], Vec::new());
        assert_eq!(
            serde_json::to_value(mesh.pod_views()).unwrap(),
            json!([{
                "uid": "uid-web-0", "namespace": "default", "name": "web-0", "service_account": "default",
                "enrolled": true, "reason": null, "on_agent_failure": "open", "ips": ["10.244.1.10"],
                "probe_ports": [], "terminating": false, "waiting": null, "held_seconds": null, "uncaptured_devices": [],
            }])
        );
    }

    #[test]
    fn services_and_endpoints_keep_their_json_keys() {
        let mut service = mk_service("web", &["10.96.0.10"]);
        service.ports = vec![mk_port(80, vec![mk_endpoint("10.244.2.7:8080")])];
        let mesh = mk_mesh(Vec::new(), vec![service]);
        assert_eq!(
            serde_json::to_value(mesh.service_views()).unwrap(),
            json!([{
                "namespace": "default", "name": "web", "cluster_ips": ["10.96.0.10"], "external_ips": [],
                "headless": false, "external_name": null,
                "ports": [{"name": "", "port": 80, "transport": "tcp", "endpoints": 1, "ready": 1}],
            }])
        );
        assert_eq!(
            serde_json::to_value(mesh.endpoint_views()).unwrap(),
            json!([{
                "service": "default/web", "port": 80, "transport": "tcp", "address": "10.244.2.7:8080",
                "pod": "default/pod-10.244.2.7", "node": "node-2", "zone": "zone-b",
                "ready": true, "serving": true, "terminating": false,
            }])
        );
    }
}

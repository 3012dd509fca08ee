//! The lookups of a [`Mesh`](super::Mesh), built once per change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    AppProtocol, Candidates, Destination, Endpoint, EndpointHints, Family, NotEnrolled, ObjectName, Place, Pod, PodUid,
    Service, ServicePort, TrafficPolicy, Transport, Unresolved, pod::Enrolment,
};

/// What is found by address.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    by_service_address: HashMap<(SocketAddr, Transport), ServiceAddress>,
    by_cluster_ip: HashMap<IpAddr, Arc<Service>>,
    by_endpoint_ip: HashMap<IpAddr, AtIp>,
    backends: HashMap<ObjectName, HashMap<u16, Backend>>,
    pod_by_ip: HashMap<IpAddr, PodUid>,
    /// What an endpoint's port speaks, as far as the owner of a service that has it said.
    app_protocol: HashMap<SocketAddr, AppProtocol>,
}

/// One port on one address of a service.
#[derive(Clone, Debug)]
struct ServiceAddress {
    service: Arc<Service>,
    port: usize,
    candidates: Candidates,
}

/// A port to which routes send requests.
#[derive(Clone, Debug)]
struct Backend {
    service: Arc<Service>,
    port: usize,
    v4: Candidates,
    v6: Candidates,
}

/// Who is at an endpoint's IP address.
#[derive(Clone, Debug)]
enum AtIp {
    /// One pod, or one address outside the cluster.
    One(Arc<Endpoint>),
    /// Several pods, as those that share their node's address: only the port tells them apart.
    Several(Vec<Arc<Endpoint>>),
}

// === impl Index ===

impl Index {
    /// Builds the lookups; of two services with one address the first by name keeps it.
    pub(super) fn new(
        pods: &BTreeMap<PodUid, Arc<Pod>>,
        services: &BTreeMap<ObjectName, Arc<Service>>,
        node: &Arc<str>,
        zone: Option<&str>,
        backends: &BTreeSet<(ObjectName, u16)>,
    ) -> Self {
        let place = Place { node, zone };
        let mut index = Self::default();
        for (service, port) in backends {
            if let Some(service) = services.get(service) {
                index.add_backend(service, *port, place);
            }
        }
        for service in services.values() {
            index.add_service(service, place);
        }
        for pod in pods.values() {
            index.add_pod(pod, node);
        }
        index
    }

    pub(super) fn resolve(&self, address: SocketAddr, transport: Transport) -> Result<Destination, Unresolved> {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if let Some(found) = self.by_service_address.get(&(address, transport)) {
            return Ok(Destination::Service {
                service: Arc::clone(&found.service),
                port: found.port,
                candidates: found.candidates.clone(),
            });
        }
        if let Some(service) = self.by_cluster_ip.get(&address.ip()) {
            return Err(Unresolved::NoSuchPort(Arc::clone(service)));
        }
        Ok(self
            .endpoint_at(address)
            .map_or(Destination::Unknown, |endpoint| Destination::Pod(Arc::clone(endpoint))))
    }

    pub(super) fn backend(&self, service: &ObjectName, port: u16, family: Family) -> Option<Destination> {
        let found = self.backends.get(service)?.get(&port)?;
        Some(Destination::Service {
            service: Arc::clone(&found.service),
            port: found.port,
            candidates: match family {
                Family::V4 => found.v4.clone(),
                Family::V6 => found.v6.clone(),
            },
        })
    }

    pub(super) fn endpoint_at(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        match self.by_endpoint_ip.get(&address.ip().to_canonical())? {
            AtIp::One(endpoint) => Some(endpoint),
            AtIp::Several(endpoints) => endpoints
                .iter()
                .find(|endpoint| endpoint.address.port() == address.port()),
        }
    }

    pub(super) fn app_protocol_at(&self, address: SocketAddr) -> Option<AppProtocol> {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.app_protocol.get(&address).copied()
    }

    pub(super) fn pod_uid_at(&self, ip: IpAddr) -> Option<&PodUid> {
        self.pod_by_ip.get(&ip.to_canonical())
    }

    fn add_service(&mut self, service: &Arc<Service>, place: Place<'_>) {
        for ip in &service.cluster_ips {
            self.by_cluster_ip.entry(*ip).or_insert_with(|| Arc::clone(service));
        }
        // Pods that dial an external address are not sent out and in again: as in kube-proxy they get all endpoints of
        // the cluster, whatever the policies say.
        let internal = service
            .cluster_ips
            .iter()
            .map(|ip| (*ip, service.internal_traffic_policy));
        let external = service.external_ips.iter().map(|ip| (*ip, TrafficPolicy::Cluster));
        let addresses: Vec<(IpAddr, TrafficPolicy)> = internal.chain(external).collect();
        for (position, port) in service.ports.iter().enumerate() {
            self.add_port(service, position, &addresses, place);
            for endpoint in &port.endpoints {
                self.add_endpoint(endpoint);
                if let Some(app_protocol) = port.app_protocol {
                    // Where services disagree HTTP holds: else one more service would take away what it protects from.
                    let known = self.app_protocol.entry(endpoint.address).or_insert(app_protocol);
                    if !known.is_http() {
                        *known = app_protocol;
                    }
                }
            }
        }
    }

    fn add_backend(&mut self, service: &Arc<Service>, number: u16, place: Place<'_>) {
        let mut ports = service.ports.iter().enumerate();
        let is_meant = |port: &ServicePort| port.port == number && port.transport == Transport::Tcp;
        let Some((position, port)) = ports.find(|(_, port)| is_meant(port)) else {
            return;
        };
        let candidates = |family| Candidates::new(port, service.internal_traffic_policy, family, place);
        let backend = Backend {
            service: Arc::clone(service),
            port: position,
            v4: candidates(Family::V4),
            v6: candidates(Family::V6),
        };
        self.backends
            .entry(service.name.clone())
            .or_default()
            .insert(number, backend);
    }

    fn add_port(
        &mut self,
        service: &Arc<Service>,
        position: usize,
        addresses: &[(IpAddr, TrafficPolicy)],
        place: Place<'_>,
    ) {
        let port: &ServicePort = &service.ports[position];
        let mut shared: Vec<(Family, TrafficPolicy, Candidates)> = Vec::new();
        for (ip, policy) in addresses {
            let address = SocketAddr::new(*ip, port.port);
            let family = Family::of(*ip);
            let known = shared
                .iter()
                .find(|(of, by, _)| (of, by) == (&family, policy))
                .map(|(.., list)| list.clone());
            let candidates = known.unwrap_or_else(|| {
                let candidates = Candidates::new(port, *policy, family, place);
                shared.push((family, *policy, candidates.clone()));
                candidates
            });
            self.by_service_address
                .entry((address, port.transport))
                .or_insert_with(|| ServiceAddress {
                    service: Arc::clone(service),
                    port: position,
                    candidates,
                });
        }
    }

    fn add_endpoint(&mut self, endpoint: &Arc<Endpoint>) {
        let at = self
            .by_endpoint_ip
            .entry(endpoint.address.ip())
            .or_insert_with(|| AtIp::One(Arc::clone(endpoint)));
        match at {
            AtIp::One(first) if first.pod == endpoint.pod => {}
            AtIp::One(first) => *at = AtIp::Several(vec![Arc::clone(first), Arc::clone(endpoint)]),
            AtIp::Several(endpoints) => endpoints.push(Arc::clone(endpoint)),
        }
    }

    fn add_pod(&mut self, pod: &Arc<Pod>, node: &Arc<str>) {
        // The address of such a pod is its node's, or already another pod's.
        if let Enrolment::Out(NotEnrolled::HostNetwork | NotEnrolled::Ended) = pod.enrolment {
            return;
        }
        for ip in &pod.ips {
            self.pod_by_ip.insert(*ip, pod.uid.clone());
            self.by_endpoint_ip
                .entry(*ip)
                .or_insert_with(|| AtIp::One(Arc::new(Endpoint::of_pod(pod, *ip, node))));
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// What stands for a pod of this node which no service selects; it has no port of its own.
    fn of_pod(pod: &Pod, ip: IpAddr, node: &Arc<str>) -> Self {
        Self {
            address: SocketAddr::new(ip, 0),
            ready: true,
            serving: true,
            terminating: pod.terminating,
            node: Some(Arc::clone(node)),
            zone: None,
            hints: EndpointHints::default(),
            hostname: None,
            pod: Some((pod.uid.clone(), pod.name.clone())),
        }
    }
}

//! The endpoints behind each port of a service: from its slices, or, where there is none, from the pods that it selects,
//! as Kubernetes' EndpointSlice controller computes them.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use super::objects::{Objects, Pod, PortReference, Scope, Service, Slice, SliceEndpoint};
use crate::model::{
    ContainerPort, Endpoint, EndpointHints, Family, NotEnrolled, ObjectName, ServicePort, TrafficDistribution,
    Transport, merge_endpoints,
};

/// Slices by service and pods by label.
pub(super) struct Backends<'a> {
    objects: &'a Objects,
    slices: HashMap<&'a ObjectName, Vec<&'a Slice>>,
    labelled: HashMap<Label<'a>, Vec<(&'a ObjectName, &'a Pod)>>,
}

/// A label of the pods of one namespace.
#[derive(PartialEq, Eq, Hash)]
struct Label<'a> {
    namespace: &'a str,
    key: &'a str,
    value: &'a str,
}

// === impl Backends ===

impl<'a> Backends<'a> {
    /// Sorts the objects for finding.
    pub(super) fn new(objects: &'a Objects) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for slice in objects.slices.values() {
            if let Some(service) = &slice.service {
                slices.entry(service).or_default().push(&**slice);
            }
        }
        let mut labelled: HashMap<_, Vec<_>> = HashMap::new();
        for (name, pod) in &objects.pods {
            for (key, value) in &pod.labels {
                let label = Label {
                    namespace: &name.namespace,
                    key,
                    value,
                };
                labelled.entry(label).or_default().push((name, &**pod));
            }
        }
        Self {
            objects,
            slices,
            labelled,
        }
    }

    /// The ports of a service with their endpoints.
    ///
    /// A headless service may have no ports at all; it gets one of number 0, which holds its addresses.
    pub(super) fn ports(&self, service: &Service) -> Vec<ServicePort> {
        let portless = service.service.headless && service.service.ports.is_empty();
        let whole = portless.then(|| (Self::addresses_only(), PortReference::Number(0)));
        let declared = service
            .service
            .ports
            .iter()
            .cloned()
            .zip(service.targets.iter().cloned());
        declared
            .chain(whole)
            .map(|(port, target)| {
                let endpoints = match self.slices.get(&service.service.name) {
                    Some(slices) => merge_endpoints(sliced(slices, &port)),
                    None => match self.objects.scope {
                        Scope::Manifests => merge_endpoints(self.selected(service, &port, &target)),
                        Scope::Cluster => Vec::new(),
                    },
                };
                ServicePort { endpoints, ..port }
            })
            .collect()
    }

    /// The pods that a service selects; none where it has no selector.
    pub(super) fn selection<'b>(
        &'b self,
        service: &'b Service,
    ) -> impl Iterator<Item = (&'a ObjectName, &'a Pod)> + use<'a, 'b> {
        self.with_labels(&service.service.name.namespace, &service.selector)
    }

    /// The pods of a namespace with all of these labels; none where no label is given.
    pub(super) fn with_labels<'b>(
        &'b self,
        namespace: &'b str,
        selector: &'b BTreeMap<String, String>,
    ) -> impl Iterator<Item = (&'a ObjectName, &'a Pod)> + use<'a, 'b> {
        // Only the pods with the rarest of the labels are looked at: one by one, those of a large namespace would take
        // seconds for all its services.
        let rarest = selector
            .iter()
            .map(|(key, value)| self.with_label(namespace, key, value))
            .min_by_key(|pods| pods.len())
            .unwrap_or_default();
        rarest.iter().copied().filter(|(_, pod)| selects(selector, &pod.labels))
    }

    fn with_label<'b>(&'b self, namespace: &'b str, key: &'b str, value: &'b str) -> &'b [(&'a ObjectName, &'a Pod)] {
        self.labelled
            .get(&Label { namespace, key, value })
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether the endpoints of a service come from slices.
    pub(super) fn has_slices(&self, service: &ObjectName) -> bool {
        self.slices.contains_key(service)
    }

    fn selected(&self, service: &Service, port: &ServicePort, target: &PortReference) -> Vec<Arc<Endpoint>> {
        let live = self
            .selection(service)
            .filter(|(_, pod)| pod.obstacle != Some(NotEnrolled::Ended));
        live.filter_map(|(name, pod)| Some((name, pod, target_of(&pod.ports, port.transport, target)?)))
            .flat_map(|(name, pod, number)| {
                let ips = pod.ips.iter().filter(|ip| service.families.contains(&Family::of(**ip)));
                ips.map(move |ip| Arc::new(self.endpoint(service, name, pod, SocketAddr::new(*ip, number))))
            })
            .collect()
    }

    fn endpoint(&self, service: &Service, name: &ObjectName, pod: &Pod, address: SocketAddr) -> Endpoint {
        let zone = pod
            .node
            .as_ref()
            .and_then(|node| self.objects.nodes.get(node)?.zone.clone());
        let ready = service.service.publish_not_ready || (pod.ready && !pod.terminating);
        let hints = match service.service.traffic_distribution.filter(|_| ready) {
            None => EndpointHints::default(),
            Some(distribution) => EndpointHints {
                zones: zone.iter().cloned().collect(),
                nodes: match distribution {
                    TrafficDistribution::SameZone => Vec::new(),
                    TrafficDistribution::SameNode => pod.node.iter().cloned().collect(),
                },
            },
        };
        let named_by_service = pod.subdomain.as_deref() == Some(&*service.service.name.name);
        Endpoint {
            address,
            ready,
            serving: pod.ready,
            terminating: pod.terminating,
            node: pod.node.clone(),
            zone,
            hints,
            hostname: pod.hostname.clone().filter(|_| named_by_service),
            pod: Some((pod.uid.clone(), name.clone())),
        }
    }

    fn addresses_only() -> ServicePort {
        ServicePort {
            name: String::new(),
            port: 0,
            transport: Transport::Tcp,
            app_protocol: None,
            endpoints: Vec::new(),
        }
    }
}

/// The port of a pod that a service's port leads to; a name means what that pod's containers call so.
pub(super) fn target_of(ports: &[ContainerPort], transport: Transport, target: &PortReference) -> Option<u16> {
    match target {
        PortReference::Number(number) => Some(*number),
        PortReference::Name(name) => ports
            .iter()
            .find(|port| port.transport == transport && port.name.as_ref() == Some(name))
            .map(|port| port.port),
    }
}

fn sliced(slices: &[&Slice], port: &ServicePort) -> Vec<Arc<Endpoint>> {
    let addresses_only = port.port == 0;
    let mut endpoints = Vec::new();
    for slice in slices {
        let served = slice
            .ports
            .iter()
            .find(|other| other.name == port.name && other.transport == port.transport);
        let number = if addresses_only {
            Some(0)
        } else {
            served.map(|served| served.port)
        };
        let Some(number) = number else { continue };
        endpoints.extend(slice.endpoints.iter().map(|endpoint| Arc::new(endpoint.at(number))));
    }
    endpoints
}

fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

// === impl SliceEndpoint ===

impl SliceEndpoint {
    fn at(&self, port: u16) -> Endpoint {
        let Self {
            ip,
            ready,
            serving,
            terminating,
            node,
            zone,
            hints,
            hostname,
            pod,
        } = self.clone();
        Endpoint {
            address: SocketAddr::new(ip, port),
            ready,
            serving,
            terminating,
            node,
            zone,
            hints,
            hostname,
            pod,
        }
    }
}

#[cfg(test)]
mod tests;

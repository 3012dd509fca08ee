//! Objects become what a mesh is built from.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    enrolment,
    objects::{Objects, Pod},
    policies::policies,
    slices::Backends,
};
use crate::model::{
    self, Contents, Exemption, MeshConfig, NotEnrolled, ObjectName, OnAgentFailure, Ranges, Roster, RosterPod, Service,
};

/// The service by which pods reach the API server, never captured.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

/// What the agent of `node` sees of objects, whose backends these are.
pub(super) fn assemble(objects: &Objects, backends: &Backends<'_>, node: &Arc<str>) -> Contents {
    let services: Vec<Arc<Service>> = objects
        .services
        .values()
        .map(|service| {
            Arc::new(Service {
                ports: backends.ports(service),
                ..service.service.clone()
            })
        })
        .collect();
    let here = objects.pods.iter().filter(|(_, pod)| pod.node.as_ref() == Some(node));
    Contents {
        generation: 0,
        node: Arc::clone(node),
        zone: objects.nodes.get(node).and_then(|node| node.zone.clone()),
        config: config(objects),
        pods: here
            .map(|(name, pod)| Arc::new(local_pod(objects, name, pod)))
            .collect(),
        exemptions: exemptions(&services),
        failing_closed: objects
            .namespaces
            .iter()
            .filter(|(_, namespace)| namespace.on_agent_failure == OnAgentFailure::Closed)
            .map(|(name, _)| Arc::clone(name))
            .collect(),
        policies: policies(objects, backends, &services, node),
        routes: objects.routes.values().cloned().collect(),
        services,
    }
}

/// What a CA must know of the pods of all nodes.
pub(crate) fn roster(objects: &Objects) -> Roster {
    let pods = objects.pods.iter().map(|(name, pod)| {
        let namespace = objects.namespaces.get(&name.namespace);
        let member = RosterPod {
            name: name.clone(),
            service_account: Arc::clone(&pod.service_account),
            node: pod.node.clone(),
            ips: pod.ips.clone(),
            enrolment: enrolment::decide(pod, namespace.map(|namespace| &**namespace)),
        };
        (pod.uid.clone(), member)
    });
    let nodes = objects.nodes.iter();
    Roster {
        pods: pods.collect(),
        pod_cidrs: nodes
            .map(|(name, node)| (Arc::clone(name), node.pod_cidrs.clone()))
            .collect(),
    }
}

/// The settings, with the nodes' ranges where they name none, and with the addresses of the pods where no node has a range.
///
/// Of the API's pods only this node's are watched; a folder has those of all nodes, and often no nodes.
fn config(objects: &Objects) -> MeshConfig {
    let given = objects.mesh_config.effective();
    if !given.pod_cidrs.is_empty() {
        return given;
    }
    let nodes = objects.nodes.values();
    let of_nodes: Ranges = nodes.flat_map(|node| node.pod_cidrs.iter().copied()).collect();
    let of_pods = || {
        let own = |pod: &Pod| pod.obstacle.is_none_or(NotEnrolled::has_own_network);
        let pods = objects.pods.values().filter(|pod| own(pod));
        pods.flat_map(|pod| pod.ips.iter().copied()).map(IpNet::from).collect()
    };
    MeshConfig {
        pod_cidrs: if of_nodes.is_empty() { of_pods() } else { of_nodes },
        ..given
    }
}

fn local_pod(objects: &Objects, name: &ObjectName, pod: &Pod) -> model::Pod {
    let namespace = objects.namespaces.get(&name.namespace);
    model::Pod {
        uid: pod.uid.clone(),
        name: name.clone(),
        service_account: Arc::clone(&pod.service_account),
        labels: pod.labels.clone(),
        ips: pod.ips.clone(),
        ports: pod.ports.clone(),
        probe_ports: pod.probe_ports.clone(),
        netns: pod.netns.clone(),
        enrolment: enrolment::decide(pod, namespace.map(|namespace| &**namespace)),
        on_agent_failure: namespace
            .map(|namespace| namespace.on_agent_failure)
            .unwrap_or_default(),
        terminating: pod.terminating,
    }
}

/// The API server by its service's addresses and by its own.
fn exemptions(services: &[Arc<Service>]) -> Vec<Exemption> {
    let api_server = services
        .iter()
        .find(|service| (&*service.name.namespace, &*service.name.name) == API_SERVER);
    let addresses: BTreeSet<Exemption> = api_server
        .into_iter()
        .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
        .flat_map(|(service, port)| {
            let own = service
                .cluster_ips
                .iter()
                .map(|ip| Exemption(SocketAddr::new(*ip, port.port)));
            own.chain(port.endpoints.iter().map(|endpoint| Exemption(endpoint.address)))
        })
        .collect();
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests;

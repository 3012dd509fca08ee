//! Pods.

use std::{collections::BTreeSet, path::PathBuf};

use k8s_openapi::{
    api::core::v1::{Container, LifecycleHandler, Pod as Manifest, PodSpec, PodStatus, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    super::{
        field::{Field, Findings},
        objects::{Pod, PortReference},
    },
    ip, mesh_label, port,
};
use crate::model::{ContainerPort, NotEnrolled, ObjectName, PodUid};

/// The annotation that names the path of the pod's network namespace.
const NETNS_ANNOTATION: &str = "weft.dev/netns";

/// Containers by which other meshes capture a pod.
const SIDECARS: [&str; 6] = [
    "istio-proxy",
    "linkerd-proxy",
    "consul-dataplane",
    "consul-connect-envoy-sidecar",
    "kuma-sidecar",
    "nginx-mesh-sidecar",
];

/// Parts of the names which sandboxes with a kernel of their own commonly give their RuntimeClass.
const SANDBOXES: [&str; 3] = ["gvisor", "runsc", "kata"];

/// Reads a Pod.
pub(crate) fn pod(manifest: Manifest, name: &ObjectName, findings: &mut Findings) -> Option<Pod> {
    let Manifest { metadata, spec, status } = manifest;
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let labels = metadata.labels.unwrap_or_default();
    if spec.node_name.is_none() {
        findings.notice(Field::at("spec.nodeName"), "the pod is on no node: no agent takes it");
    }
    let pod = Pod {
        uid: metadata.uid.map_or_else(|| PodUid::derived(name), PodUid::new),
        enrols: mesh_label(&labels, findings),
        obstacle: obstacle(&spec, &status),
        ips: ips(&status, findings),
        ports: ports(&spec, findings),
        probe_ports: probe_ports(&spec, findings),
        netns: netns(
            metadata.annotations.unwrap_or_default().remove(NETNS_ANNOTATION),
            findings,
        ),
        ready: is_ready(&status),
        terminating: metadata.deletion_timestamp.is_some(),
        service_account: spec
            .service_account_name
            .or(spec.service_account)
            .map_or("default".into(), Into::into),
        node: spec.node_name.map(Into::into),
        hostname: spec.hostname.filter(|hostname| !hostname.is_empty()).map(Into::into),
        subdomain: spec.subdomain,
        labels,
    };
    findings.admit(pod)
}

fn obstacle(spec: &PodSpec, status: &PodStatus) -> Option<NotEnrolled> {
    let runtime_class = spec
        .runtime_class_name
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        Some(NotEnrolled::Ended)
    } else if spec.host_network == Some(true) {
        Some(NotEnrolled::HostNetwork)
    } else if SANDBOXES.iter().any(|sandbox| runtime_class.contains(sandbox)) {
        Some(NotEnrolled::Sandboxed)
    } else if containers(spec).any(|(_, container)| SIDECARS.contains(&container.name.as_str())) {
        Some(NotEnrolled::OtherSidecar)
    } else {
        None
    }
}

/// The containers that run as long as the pod does: sidecars among the init containers too.
fn containers(spec: &PodSpec) -> impl Iterator<Item = (Field, &Container)> {
    let at = |list: &'static str| move |(index, container)| (Field::at(list).index(index), container);
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .enumerate()
        .map(at("spec.initContainers"));
    let sidecars =
        sidecars.filter(|(_, container): &(_, &Container)| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .enumerate()
        .map(at("spec.containers"))
        .chain(sidecars)
}

fn ips(status: &PodStatus, findings: &mut Findings) -> Vec<std::net::IpAddr> {
    let several = status
        .pod_ips
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, pod_ip)| (Field::at("status.podIPs").index(index).key("ip"), pod_ip.ip.as_str()));
    let single = status
        .pod_ip
        .iter()
        .map(|pod_ip| (Field::at("status.podIP"), pod_ip.as_str()));
    let written: Vec<(Field, &str)> = several.chain(single).filter(|(_, text)| !text.is_empty()).collect();
    let mut ips = Vec::new();
    for (field, text) in written {
        ips.extend(ip(text, &field, findings).filter(|ip| !ips.contains(ip)));
    }
    ips
}

fn ports(spec: &PodSpec, findings: &mut Findings) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    for (field, container) in containers(spec) {
        for (index, declared) in container.ports.iter().flatten().enumerate() {
            let field = field.key("ports").index(index);
            let port = port::number(declared.container_port, &field.key("containerPort"), findings);
            let transport = port::transport(declared.protocol.as_deref(), &field.key("protocol"), findings);
            let (Some(port), Some(transport)) = (port, transport) else {
                continue;
            };
            ports.push(ContainerPort {
                name: declared.name.clone(),
                port,
                transport,
            });
        }
    }
    ports
}

/// What the kubelet connects to: probes, and lifecycle hooks, which it dials likewise.
fn probe_ports(spec: &PodSpec, findings: &mut Findings) -> Vec<u16> {
    let mut numbers = BTreeSet::new();
    for (field, container) in containers(spec) {
        for (field, port) in kubelet_targets(&field, container) {
            match port::reference(port, &field, findings) {
                Some(PortReference::Number(number)) => drop(numbers.insert(number)),
                Some(PortReference::Name(name)) => match declared_port(container, &name) {
                    Some(number) => drop(numbers.insert(number)),
                    None => findings.notice(field, format!("the container has no port named `{name}`")),
                },
                None => {}
            }
        }
    }
    numbers.into_iter().collect()
}

fn kubelet_targets(container_field: &Field, container: &Container) -> Vec<(Field, IntOrString)> {
    let lifecycle = container.lifecycle.as_ref();
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    let hooks = [
        (
            "postStart",
            lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()),
        ),
        ("preStop", lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref())),
    ];
    let probes = probes.into_iter().filter_map(|(name, probe)| {
        let (action, port) = probe_target(probe.as_ref()?)?;
        Some((container_field.key(name).key(action).key("port"), port))
    });
    let hooks = hooks.into_iter().filter_map(|(name, hook)| {
        let (action, port) = hook_target(hook?)?;
        Some((container_field.key("lifecycle").key(name).key(action).key("port"), port))
    });
    probes.chain(hooks).collect()
}

fn probe_target(probe: &Probe) -> Option<(&'static str, IntOrString)> {
    let http = probe.http_get.as_ref().map(|action| ("httpGet", action.port.clone()));
    let tcp = probe
        .tcp_socket
        .as_ref()
        .map(|action| ("tcpSocket", action.port.clone()));
    let grpc = probe
        .grpc
        .as_ref()
        .map(|action| ("grpc", IntOrString::Int(action.port)));
    http.or(tcp).or(grpc)
}

fn hook_target(hook: &LifecycleHandler) -> Option<(&'static str, IntOrString)> {
    let http = hook.http_get.as_ref().map(|action| ("httpGet", action.port.clone()));
    http.or_else(|| {
        hook.tcp_socket
            .as_ref()
            .map(|action| ("tcpSocket", action.port.clone()))
    })
}

fn declared_port(container: &Container, name: &str) -> Option<u16> {
    let named = container
        .ports
        .iter()
        .flatten()
        .find(|port| port.name.as_deref() == Some(name))?;
    u16::try_from(named.container_port).ok()
}

fn netns(annotation: Option<String>, findings: &mut Findings) -> Option<PathBuf> {
    let path = PathBuf::from(annotation?);
    if path.is_relative() {
        let field = Field::at("metadata.annotations").key(NETNS_ANNOTATION);
        findings.error(field, format!("`{}` is not an absolute path", path.display()));
    }
    Some(path)
}

/// The condition Ready where there is one; a manifest without a status stands for a pod that runs.
fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .is_none_or(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests;

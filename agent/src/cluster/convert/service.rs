//! Services.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use k8s_openapi::api::core::v1::{
    Service as Manifest, ServicePort as PortManifest, ServiceSpec, ServiceStatus, SessionAffinityConfig,
};

use super::{
    super::{
        field::{Field, Findings},
        names::Rule,
        objects::{PortReference, Service},
    },
    ip, port,
};
use crate::model::{self, Affinity, Family, ObjectName, ServicePort, TrafficDistribution, TrafficPolicy, Transport};

/// What stands in `spec.clusterIP` of a headless service.
const HEADLESS: &str = "None";

/// `sessionAffinityConfig.clientIP.timeoutSeconds` where it is not given.
const DEFAULT_AFFINITY: Duration = Duration::from_secs(10_800);

/// Reads a Service.
pub(crate) fn service(manifest: Manifest, name: &ObjectName, findings: &mut Findings) -> Option<Service> {
    let spec = manifest.spec.unwrap_or_default();
    let external_name = external_name(&spec, findings);
    let headless = spec.cluster_ip.as_deref() == Some(HEADLESS);
    let cluster_ips = if external_name.is_some() {
        Vec::new()
    } else {
        cluster_ips(&spec, headless, findings)
    };
    let (ports, targets) = ports(spec.ports.as_deref().unwrap_or_default(), findings)
        .into_iter()
        .unzip();
    let service = model::Service {
        name: name.clone(),
        external_ips: external_ips(&spec, &manifest.status.unwrap_or_default(), findings),
        headless,
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        ports,
        internal_traffic_policy: internal_traffic_policy(spec.internal_traffic_policy.as_deref(), findings),
        traffic_distribution: traffic_distribution(spec.traffic_distribution.as_deref(), findings),
        affinity: affinity(spec.session_affinity.as_deref(), spec.session_affinity_config, findings),
        cluster_ips,
        external_name,
    };
    let families = families(spec.ip_families.as_deref(), &service.cluster_ips, findings);
    findings.admit(Service {
        service,
        selector: spec.selector.unwrap_or_default(),
        targets,
        families,
    })
}

fn external_name(spec: &ServiceSpec, findings: &mut Findings) -> Option<String> {
    let field = Field::at("spec.type");
    match spec.type_.as_deref() {
        None | Some("ClusterIP" | "NodePort" | "LoadBalancer") => None,
        Some("ExternalName") => {
            let name = spec.external_name.clone().unwrap_or_default();
            let bare = name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase();
            findings.accept(&Field::at("spec.externalName"), Rule::Subdomain.check(&bare))?;
            Some(name)
        }
        Some(other) => {
            findings.error(
                field,
                format!("`{other}` is none of ClusterIP, NodePort, LoadBalancer, ExternalName"),
            );
            None
        }
    }
}

fn cluster_ips(spec: &ServiceSpec, headless: bool, findings: &mut Findings) -> Vec<IpAddr> {
    let single = spec.cluster_ip.as_deref().filter(|text| !text.is_empty());
    let several = spec.cluster_ips.as_deref().unwrap_or_default();
    let field = Field::at("spec.clusterIPs");
    match (single, several.first()) {
        (None, None) => {
            findings.notice(
                Field::at("spec.clusterIP"),
                "there is none, and nothing allocates one here: the service can be reached by its pods' addresses only",
            );
            return Vec::new();
        }
        (Some(single), Some(first)) if single != first => {
            findings.error(
                field.index(0),
                format!("`{first}` is not the `{single}` of spec.clusterIP"),
            );
        }
        _ => {}
    }
    if headless {
        return Vec::new();
    }
    let single_field = Field::at("spec.clusterIP");
    if several.is_empty() {
        return single
            .and_then(|text| ip(text, &single_field, findings))
            .into_iter()
            .collect();
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    for (index, text) in several.iter().enumerate() {
        let Some(ip) = ip(text, &field.index(index), findings) else {
            continue;
        };
        if ips.iter().any(|other| Family::of(*other) == Family::of(ip)) {
            findings.error(
                field.index(index),
                format!("`{text}` is a second address of one family"),
            );
        }
        ips.push(ip);
    }
    ips
}

/// External IPs, and those of load balancers which the nodes answer for.
///
/// An address whose `ipMode` is Proxy passes the balancer, and one with source ranges is filtered by kube-proxy: both are
/// left alone.
fn external_ips(spec: &ServiceSpec, status: &ServiceStatus, findings: &mut Findings) -> Vec<IpAddr> {
    let listed = spec.external_ips.iter().flatten().enumerate();
    let listed = listed.map(|(index, text)| (Field::at("spec.externalIPs").index(index), text));
    let filtered = spec
        .load_balancer_source_ranges
        .as_ref()
        .is_some_and(|ranges| !ranges.is_empty());
    let ingress = status
        .load_balancer
        .iter()
        .flat_map(|balancer| balancer.ingress.iter().flatten())
        .enumerate();
    let ingress = ingress
        .filter(|(_, ingress)| !filtered && ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|(index, ingress)| {
            Some((
                Field::at("status.loadBalancer.ingress").index(index).key("ip"),
                ingress.ip.as_ref()?,
            ))
        });
    let ips: BTreeSet<IpAddr> = listed
        .chain(ingress)
        .filter_map(|(field, text)| ip(text, &field, findings))
        .collect();
    ips.into_iter().collect()
}

fn ports(manifests: &[PortManifest], findings: &mut Findings) -> Vec<(ServicePort, PortReference)> {
    let mut names = BTreeSet::new();
    let mut numbers: BTreeSet<(u16, Transport)> = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, manifest) in manifests.iter().enumerate() {
        let field = Field::at("spec.ports").index(index);
        let name = manifest.name.clone().unwrap_or_default();
        if name.is_empty() && manifests.len() > 1 {
            findings.error(field.key("name"), "each of several ports needs a name");
        } else if !name.is_empty() {
            findings.accept(&field.key("name"), Rule::Label.check(&name));
        }
        if !names.insert(name.clone()) && !name.is_empty() {
            findings.error(field.key("name"), format!("`{name}` is the name of another port too"));
        }
        let number = port::number(manifest.port, &field.key("port"), findings);
        let transport = port::transport(manifest.protocol.as_deref(), &field.key("protocol"), findings);
        let target = match manifest.target_port.clone() {
            None => number.map(PortReference::Number),
            Some(target) => port::reference(target, &field.key("targetPort"), findings),
        };
        let (Some(number), Some(transport), Some(target)) = (number, transport, target) else {
            continue;
        };
        if !numbers.insert((number, transport)) {
            findings.error(field.key("port"), format!("{number} is the number of another port too"));
        }
        let app_protocol = port::app_protocol(manifest.app_protocol.as_deref(), &name);
        ports.push((
            ServicePort {
                name,
                port: number,
                transport,
                app_protocol,
                endpoints: Vec::new(),
            },
            target,
        ));
    }
    ports
}

fn internal_traffic_policy(policy: Option<&str>, findings: &mut Findings) -> TrafficPolicy {
    match policy {
        None | Some("Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            let field = Field::at("spec.internalTrafficPolicy");
            findings.error(field, format!("`{other}` is neither `Cluster` nor `Local`"));
            TrafficPolicy::Cluster
        }
    }
}

fn traffic_distribution(distribution: Option<&str>, findings: &mut Findings) -> Option<TrafficDistribution> {
    match distribution? {
        "PreferClose" | "PreferSameZone" => Some(TrafficDistribution::SameZone),
        "PreferSameNode" => Some(TrafficDistribution::SameNode),
        other => {
            let field = Field::at("spec.trafficDistribution");
            findings.error(
                field,
                format!("`{other}` is none of PreferSameZone, PreferSameNode, PreferClose"),
            );
            None
        }
    }
}

fn affinity(kind: Option<&str>, config: Option<SessionAffinityConfig>, findings: &mut Findings) -> Option<Affinity> {
    match kind {
        None | Some("None") => return None,
        Some("ClientIP") => {}
        Some(other) => {
            findings.error(
                Field::at("spec.sessionAffinity"),
                format!("`{other}` is neither `None` nor `ClientIP`"),
            );
            return None;
        }
    }
    let seconds = config.and_then(|config| config.client_ip?.timeout_seconds);
    let Some(seconds) = seconds else {
        return Some(Affinity {
            timeout: DEFAULT_AFFINITY,
        });
    };
    if !(1..=86_400).contains(&seconds) {
        let field = Field::at("spec.sessionAffinityConfig.clientIP.timeoutSeconds");
        findings.error(field, format!("{seconds} is not between 1 and 86400"));
    }
    Some(Affinity {
        timeout: Duration::from_secs(seconds.unsigned_abs().into()),
    })
}

/// The families of which the service has endpoints: as it says, else those of its addresses, else both.
fn families(declared: Option<&[String]>, cluster_ips: &[IpAddr], findings: &mut Findings) -> Vec<Family> {
    let mut families = BTreeSet::new();
    for (index, family) in declared.unwrap_or_default().iter().enumerate() {
        match family.as_str() {
            "IPv4" => drop(families.insert(Family::V4)),
            "IPv6" => drop(families.insert(Family::V6)),
            other => {
                let field = Field::at("spec.ipFamilies").index(index);
                findings.error(field, format!("`{other}` is neither `IPv4` nor `IPv6`"));
            }
        }
    }
    families.extend(cluster_ips.iter().map(|ip| Family::of(*ip)));
    if families.is_empty() {
        families.extend([Family::V4, Family::V6]);
    }
    families.into_iter().collect()
}

#[cfg(test)]
mod tests;

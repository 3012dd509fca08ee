//! What is read of services that are as they should be.

use serde_json::{Value, json};

use super::{super::sample::mk_service, *};
use crate::model::{
    AppProtocol,
    sample::{mk_ip, mk_port},
};

fn read_whole(spec: Value, status: Value) -> Service {
    let manifest = json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": spec, "status": status});
    let mut findings = Findings::default();
    let service = service(
        serde_json::from_value(manifest).unwrap(),
        &ObjectName::new("default", "web"),
        &mut findings,
    );
    assert_eq!(findings.into_vec(), []);
    service.unwrap()
}

fn read(spec: Value) -> Service {
    read_whole(spec, json!({}))
}

fn external_ips_of(spec: Value) -> Vec<IpAddr> {
    let mut whole = json!({"clusterIP": "10.96.0.1", "type": "LoadBalancer"});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let ingress = json!([
        {"ip": "192.0.2.3"},
        {"ip": "192.0.2.2", "ipMode": "VIP"},
        {"ip": "192.0.2.4", "ipMode": "Proxy"},
        {"hostname": "lb.example.com"},
    ]);
    read_whole(whole, json!({"loadBalancer": {"ingress": ingress}}))
        .service
        .external_ips
}

#[test]
fn a_plain_service_is_read() {
    let service = read(json!({"clusterIP": "10.96.0.1", "selector": {"app": "web"}, "ports": [{"port": 80}]}));
    assert_eq!(
        service,
        Service {
            families: vec![Family::V4],
            ..mk_service("web", &["10.96.0.1"])
        }
    );
}

#[test]
fn every_field_that_matters_is_read() {
    let read = read(json!({
        "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd96::1"], "ipFamilies": ["IPv4", "IPv6"],
        "externalIPs": ["192.0.2.1"], "publishNotReadyAddresses": true, "internalTrafficPolicy": "Local",
        "trafficDistribution": "PreferSameNode", "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "ports": [
            {"name": "web", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c"},
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
        ],
    }));
    let expected = model::Service {
        external_ips: vec![mk_ip("192.0.2.1")],
        publish_not_ready: true,
        internal_traffic_policy: TrafficPolicy::Local,
        traffic_distribution: Some(TrafficDistribution::SameNode),
        affinity: Some(Affinity {
            timeout: Duration::from_secs(60),
        }),
        ports: vec![
            ServicePort {
                name: "web".into(),
                app_protocol: Some(AppProtocol::Http2),
                ..mk_port(80, vec![])
            },
            ServicePort {
                name: "dns".into(),
                transport: Transport::Udp,
                ..mk_port(53, vec![])
            },
        ],
        ..mk_service("web", &["10.96.0.1", "fd96::1"]).service
    };
    assert_eq!(read.service, expected);
    assert_eq!(
        read.targets,
        [PortReference::Name("http".into()), PortReference::Number(5353)]
    );
}

#[test]
fn a_headless_service_has_no_address_and_both_families() {
    let read = read(json!({"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 80}]}));
    assert_eq!(read, mk_service("web", &[]));
}

#[test]
fn an_external_name_is_a_name_without_addresses() {
    let service = read(json!({"type": "ExternalName", "externalName": "db.example.com"})).service;
    assert_eq!(
        (service.external_name.as_deref(), service.cluster_ips),
        (Some("db.example.com"), vec![])
    );
}

#[test]
fn affinity_lasts_three_hours_unless_it_says_else() {
    let affinity = |kind: &str| {
        read(json!({"clusterIP": "10.96.0.1", "sessionAffinity": kind}))
            .service
            .affinity
    };
    assert_eq!(
        affinity("ClientIP"),
        Some(Affinity {
            timeout: Duration::from_secs(10_800)
        })
    );
    assert_eq!(affinity("None"), None);
}

#[test]
fn prefer_close_is_the_old_name_of_prefer_same_zone() {
    for name in ["PreferClose", "PreferSameZone"] {
        let service = read(json!({"clusterIP": "10.96.0.1", "trafficDistribution": name})).service;
        assert_eq!(
            service.traffic_distribution,
            Some(TrafficDistribution::SameZone),
            "{name}"
        );
    }
}

#[test]
fn addresses_of_load_balancers_are_the_services_unless_the_balancer_wants_to_see_the_traffic() {
    assert_eq!(external_ips_of(json!({})), [mk_ip("192.0.2.2"), mk_ip("192.0.2.3")]);
    assert_eq!(external_ips_of(json!({"externalIPs": ["192.0.2.1"]})).len(), 3);
}

#[test]
fn addresses_of_load_balancers_with_source_ranges_are_left_to_the_node() {
    assert_eq!(
        external_ips_of(json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]})),
        [] as [IpAddr; 0]
    );
}

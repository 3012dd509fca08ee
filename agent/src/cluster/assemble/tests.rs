//! What an agent sees of the objects.

mod policies;

use super::{
    super::{
        convert::sample::{mk_pod, mk_service},
        objects::{MeshLabel, MeshSettings, Namespace, Node},
    },
    *,
};
use crate::model::{
    EgressMode, Enrolment, Mesh, NotEnrolled, OnAgentFailure,
    sample::{NODE, mk_ip},
};

fn mk_objects() -> Objects {
    let mut objects = Objects::default();
    objects
        .pods
        .insert(ObjectName::new("default", "web"), Arc::new(mk_pod("web", "10.0.0.1")));
    objects
}

fn assembled(objects: &Objects) -> Mesh {
    Mesh::new(assemble(objects, &Backends::new(objects), &NODE.into()))
}

fn only_pod(objects: &Objects) -> model::Pod {
    let mesh = assembled(objects);
    let mut pods = mesh.pods.values();
    let pod = pods.next().unwrap();
    assert_eq!(pods.next(), None);
    model::Pod::clone(pod)
}

#[test]
fn pods_of_this_node_are_seen_and_those_of_others_are_not() {
    let mut objects = mk_objects();
    let elsewhere = Pod {
        node: Some("node-2".into()),
        ..mk_pod("far", "10.0.1.1")
    };
    objects
        .pods
        .insert(ObjectName::new("default", "far"), Arc::new(elsewhere));
    let unscheduled = Pod {
        node: None,
        ..mk_pod("none", "10.0.1.2")
    };
    objects
        .pods
        .insert(ObjectName::new("default", "none"), Arc::new(unscheduled));
    assert_eq!(&*only_pod(&objects).name.name, "web");
}

#[test]
fn the_namespace_decides_enrolment_and_failure() {
    let mut objects = mk_objects();
    let pod = only_pod(&objects);
    assert_eq!(
        (pod.enrolment, pod.on_agent_failure),
        (Enrolment::Out(NotEnrolled::NoLabel), OnAgentFailure::Open)
    );
    assert_eq!(assembled(&objects).enrolled_namespaces(), [].into());
    let namespace = Namespace {
        enrols: Some(MeshLabel::Enabled),
        on_agent_failure: OnAgentFailure::Closed,
    };
    objects.namespaces.insert("default".into(), Arc::new(namespace));
    let pod = only_pod(&objects);
    assert_eq!(
        (pod.enrolment, pod.on_agent_failure),
        (Enrolment::Enrolled, OnAgentFailure::Closed)
    );
    assert_eq!(
        assembled(&objects).enrolled_namespaces(),
        [("default".into(), OnAgentFailure::Closed)].into()
    );
}

#[test]
fn endpoints_are_pods_of_all_nodes() {
    let mut objects = Objects::default();
    let elsewhere = Pod {
        node: Some("node-2".into()),
        ..mk_pod("web", "10.0.1.1")
    };
    objects
        .pods
        .insert(ObjectName::new("default", "web"), Arc::new(elsewhere));
    objects.services.insert(
        ObjectName::new("default", "web"),
        Arc::new(mk_service("web", &["10.96.0.1"])),
    );
    let mesh = assembled(&objects);
    assert!(mesh.pods.is_empty());
    let service = &mesh.services[&ObjectName::new("default", "web")];
    assert_eq!(service.ports[0].endpoints[0].address.to_string(), "10.0.1.1:80");
}

#[test]
fn the_api_servers_addresses_are_exempt_and_other_services_are_not() {
    let mut objects = Objects::default();
    for (namespace, name, ip) in [
        ("default", "kubernetes", "10.96.0.1"),
        ("other", "kubernetes", "10.96.0.2"),
    ] {
        let mut service = mk_service(name, &[ip]);
        service.service.name = ObjectName::new(namespace, name);
        objects.services.insert(service.service.name.clone(), Arc::new(service));
    }
    objects.pods.insert(
        ObjectName::new("default", "api"),
        Arc::new(mk_pod("kubernetes", "192.0.2.1")),
    );
    let exempt: Vec<String> = assembled(&objects)
        .exemptions
        .iter()
        .map(|Exemption(address)| address.to_string())
        .collect();
    assert_eq!(exempt, ["10.96.0.1:80", "192.0.2.1:80"]);
}

#[test]
fn pod_ranges_are_those_of_the_mesh_else_of_the_nodes_else_each_pods_addresses() {
    let mut objects = mk_objects();
    let away = Pod {
        node: Some("node-2".into()),
        ..mk_pod("away", "10.7.0.1")
    };
    let host = Pod {
        obstacle: Some(NotEnrolled::HostNetwork),
        ..mk_pod("host", "192.0.2.1")
    };
    for (name, pod) in [("away", away), ("host", host)] {
        objects.pods.insert(ObjectName::new("default", name), Arc::new(pod));
    }
    let cidr = |text: &str| vec![text.parse().unwrap()];
    let pods = assembled(&objects).config.pod_cidrs;
    let has = |ip| pods.contains(mk_ip(ip));
    assert_eq!(["10.0.0.1", "10.7.0.1", "192.0.2.1"].map(has), [true, true, false]);
    objects.nodes.insert(
        NODE.into(),
        Arc::new(Node {
            zone: Some("zone-a".into()),
            pod_cidrs: cidr("10.0.0.0/24"),
        }),
    );
    let mesh = assembled(&objects);
    assert_eq!(
        (mesh.zone.as_deref(), mesh.config.pod_cidrs.clone()),
        (Some("zone-a"), cidr("10.0.0.0/24").into())
    );
    let given = MeshConfig {
        pod_cidrs: cidr("10.0.0.0/8").into(),
        ..MeshConfig::default()
    };
    objects.mesh_config = MeshSettings::Given(Arc::new(given));
    assert_eq!(assembled(&objects).config.pod_cidrs, cidr("10.0.0.0/8").into());
}

#[test]
fn egress_is_refused_while_the_settings_were_never_understood() {
    let mut objects = mk_objects();
    let egress = |objects: &Objects| {
        let config = assembled(objects).config;
        (config.egress, config.deny_udp_egress)
    };
    assert_eq!(egress(&objects), (EgressMode::Allow, false));
    objects.mesh_config = MeshSettings::Undecodable;
    assert_eq!(egress(&objects), (EgressMode::Deny, true));
}

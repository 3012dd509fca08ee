//! Services of every kind, as they are for pods of the mesh that takes no plaintext, and for who is outside.

use std::net::SocketAddr;

use harness::{Family, skip, wait};
use serde_json::json;

use crate::{
    bare::every_protocol_is_served,
    strict::{ask, node_port},
    workload::{HTTP, Pod, service, service_with},
    world::{Call, PATIENCE, World, simulated},
};

#[test]
fn every_protocol_is_served_between_pods_that_take_no_plaintext() {
    every_protocol_is_served(&World::strict());
}

#[test]
fn pods_of_a_stateful_set_are_reached_by_their_own_names_behind_a_headless_service() {
    let world = World::strict();
    let client = Pod::new("client").on("node-1");
    world.apply(&service_with("db", &json!({"clusterIP": "None"})));
    world.apply(&json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": 2,
            "serviceName": "db",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": Pod::new("db").template(),
        },
    }));
    world.apply(&json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "alias"},
        "spec": {"type": "ExternalName", "externalName": world.name_of("db")},
    }));
    world.start(&[client]);
    for pod in ["db-0", "db-1"] {
        let target = format!("http://{pod}.{}:{HTTP}/", world.name_of("db"));
        let served = || world.call("client", &target).is_ok_and(|answer| answer.pod == pod);
        wait::until(PATIENCE, &target, served);
    }
    for name in ["db", "alias"] {
        let target = format!("http://{}:{HTTP}/", world.name_of(name));
        wait::until(PATIENCE, &target, || world.call("client", &target).is_ok());
    }
}

#[test]
fn a_client_with_affinity_stays_with_one_pod_and_one_without_does_not() {
    let world = World::strict();
    world.apply(&service_with(
        "loyal",
        &json!({"selector": {"app": "server"}, "sessionAffinity": "ClientIP"}),
    ));
    world.apply(&service("server"));
    world.start(&[
        Pod::new("client").on("node-1"),
        Pod::new("near").on("node-1").app("server"),
        Pod::new("far").on("node-2").app("server"),
    ]);
    let pods_of = |service: &str| {
        let to = SocketAddr::new(world.cluster_ip(service, Family::V4), HTTP);
        let target = format!("http://{to}/");
        wait::until(PATIENCE, &target, || world.call("client", &target).is_ok());
        world.answers("client", &[&target, "--count=40", "--fresh"])
    };
    wait::until(PATIENCE, "both pods without affinity", || pods_of("server").len() == 2);
    assert_eq!(pods_of("loyal").len(), 1);
}

#[test]
fn node_ports_and_host_ports_lead_into_the_mesh_from_outside_and_from_within() {
    if simulated().is_none() {
        skip!("whether a client outside reaches the nodes is not known");
    }
    let world = World::enrolled();
    for (name, policy) in [("anywhere", "Cluster"), ("here", "Local")] {
        let patch = json!({"selector": {"app": "server"}, "type": "NodePort", "externalTrafficPolicy": policy});
        world.apply(&service_with(name, &patch));
    }
    let host_port = json!({"ports": [{"name": "http", "containerPort": HTTP, "hostPort": HOST_PORT}]});
    world.start(&[
        Pod::new("client").on("node-1"),
        Pod::new("server").on("node-2").container(&host_port),
    ]);
    let [one, two] = ["node-1", "node-2"].map(|node| node_port(&world, "anywhere", node));
    let [elsewhere, local] = ["node-1", "node-2"].map(|node| node_port(&world, "here", node));
    let by_host_port = SocketAddr::new(two.ip(), HOST_PORT);
    for to in [one, two, local, by_host_port] {
        let served = || ask(to).is_ok_and(|answer| answer.contains("\"pod\":\"server\""));
        wait::until(PATIENCE, format!("{to} from outside"), served);
        let target = format!("http://{to}/");
        let within = || world.call("client", &target).is_ok_and(|answer| answer.pod == "server");
        wait::until(PATIENCE, format!("{to} from a pod"), within);
    }
    assert!(ask(elsewhere).is_err(), "no pod of it is on that node");
}

#[test]
fn pods_reach_the_api_server() {
    let world = World::strict();
    // It speaks TLS, and tells so to who does not.
    let target = "http://kubernetes.default.svc.cluster.local:443/";
    world.apply(&Pod::caller("client", target).object());
    wait::until(PATIENCE, "its answer", || {
        let told = |call: &Call| matches!(&call.outcome, Err(said) if said.contains("HTTP request to an HTTPS server"));
        world.calls("client").iter().any(told)
    });
}

const HOST_PORT: u16 = 18080;

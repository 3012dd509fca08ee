//! Strict beside what is not in the mesh: the kubelet passes, everybody else needs the policy's leave.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use cluster::Machine;
use harness::{Family, skip, wait};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

use crate::{
    probes::kinds,
    workload::{GRPC, HTTP, LINES, Pod, mtls, service_with},
    world::{PATIENCE, World, kubectl, simulated},
};

#[test]
fn the_kubelet_probes_strict_pods_and_no_other_process_of_its_node_reaches_them() {
    let Some(cluster) = simulated() else {
        skip!("the cluster's nodes are not ours to enter");
    };
    let world = World::strict();
    let pods = kinds(HTTP, LINES, GRPC).map(|(kind, probe)| Pod::new(kind).on("node-1").probe(probe));
    world.start(&pods);
    world.start(&[Pod::new("member").on("node-2")]);
    let node = cluster
        .nodes()
        .unwrap()
        .into_iter()
        .find(|node| node.name == "node-1")
        .unwrap();
    for pod in &pods {
        for family in Family::BOTH {
            let ip = world.address(pod.name(), family);
            for port in [HTTP, LINES, GRPC] {
                let heard = ask_path_from(&node.machine, SocketAddr::new(ip, port), "/");
                assert!(heard.is_err(), "{} at {port}: {heard:?}", pod.name());
            }
            let member = world.call("member", &format!("http://{}/", SocketAddr::new(ip, HTTP)));
            assert_eq!(member.unwrap().pod, pod.name());
        }
    }
}

#[test]
fn a_scrape_from_outside_the_mesh_reaches_the_port_that_is_permissive_and_no_other() {
    let world = World::strict();
    let outside = world.beside();
    world.start(&[Pod::new("server").on("node-2")]);
    outside.start(&[Pod::new("prometheus").on("node-1")]);
    let at = |port| format!("tcp://{}", SocketAddr::new(world.address("server", Family::V4), port));
    assert!(outside.call("prometheus", &at(LINES)).is_err());

    let ports = json!([{"port": LINES, "mode": "Permissive"}]);
    world.apply(&mtls(Some("server"), &json!({"mode": "Strict", "ports": ports})));
    wait::until(PATIENCE, "the scrape served", || {
        outside.call("prometheus", &at(LINES)).is_ok()
    });
    let refused = outside.call("prometheus", &world.http("server"));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn an_ingress_on_the_hosts_network_is_served_when_the_policy_names_the_nodes() {
    let world = World::strict();
    let outside = world.beside();
    world.start(&[Pod::new("web").on("node-2"), Pod::new("other").on("node-2")]);
    let ingress = Pod::running("ingress", &["pause"])
        .on("node-1")
        .spec(&json!({"hostNetwork": true}));
    outside.start(&[ingress]);
    assert!(outside.call("ingress", &world.http("web")).is_err());

    world.apply(&mtls(
        Some("web"),
        &json!({"mode": "Strict", "plaintextFrom": node_ranges()}),
    ));
    wait::until(PATIENCE, "the ingress served", || {
        outside.call("ingress", &world.http("web")).is_ok()
    });
    let refused = outside.call("ingress", &world.http("other"));
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn a_client_of_a_load_balancer_is_served_when_the_policy_names_its_range() {
    if simulated().is_none() {
        skip!("whether a client outside reaches the nodes is not known");
    }
    let world = World::strict();
    world.start(&[Pod::new("web").on("node-2")]);
    // Where the balancer keeps clients' addresses; the others are the nodes' (an ingress' recipe).
    world.apply(&service_with(
        "web",
        &json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
    ));
    let to = node_port(&world, "web", "node-2");
    assert!(ask(to).is_err());

    let own = TcpStream::connect((to.ip(), 10250)).unwrap().local_addr().unwrap().ip();
    let range = format!("{own}/32");
    world.apply(&mtls(Some("web"), &json!({"mode": "Strict", "plaintextFrom": [range]})));
    wait::until(PATIENCE, "the client served", || ask(to).is_ok());
    assert!(ask(to).unwrap().contains(&format!("\"client\":\"{own}:")));
}

#[test]
fn the_api_server_reaches_a_webhook_in_the_mesh_when_the_policy_names_it() {
    let world = World::strict();
    let outside = world.beside();
    world.start(&[Pod::new("webhook").on("node-2")]);
    world.apply(&service_with("webhook", &json!({})));
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {
            "name": outside.namespace(),
            // It goes with the namespace that it is about.
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Namespace", "name": outside.namespace(),
                "uid": kubectl().get(&["namespace", outside.namespace()]).unwrap()["metadata"]["uid"],
            }],
        },
        "webhooks": [{
            "name": "maps.weft.dev",
            "clientConfig": {"service": {"namespace": world.namespace(), "name": "webhook", "port": HTTP}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": outside.namespace()}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"],
        }],
    });
    outside.apply(&configuration);
    let said = || outside.run(&["create", "configmap", "any"]).unwrap_err();
    // The application speaks no TLS: that it says so shows that it was reached.
    let reached = |said: &str| said.contains("server gave HTTP response to HTTPS client");
    wait::until(PATIENCE, "the webhook called", || {
        said().contains("failed calling webhook")
    });
    assert!(!reached(&said()), "{}", said());

    world.apply(&mtls(
        Some("webhook"),
        &json!({"mode": "Strict", "plaintextFrom": api_server_ranges()}),
    ));
    wait::until(PATIENCE, "the webhook reached", || reached(&said()));
}

/// Asks a server of HTTP from a machine's own network.
pub(crate) fn ask_path_from(machine: &Machine, to: SocketAddr, path: &'static str) -> io::Result<String> {
    let first = machine.first_process().ok_or(io::ErrorKind::NotFound)?;
    let netns = File::open(format!("/proc/{first}/ns/net"))?;
    // A thread that has gone there does not come back.
    let asked = thread::spawn(move || {
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        ask_path(to, path)
    });
    asked.join().expect("no panic")
}

/// Asks a server of HTTP; what is no answer is an error.
pub(crate) fn ask(to: SocketAddr) -> io::Result<String> {
    ask_path(to, "/")
}

fn ask_path(to: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: server\r\n\r\n")?;
    let mut heard = Vec::new();
    let ended = stream.read_to_end(&mut heard);
    if heard.is_empty() {
        ended?;
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn node_ranges() -> Vec<String> {
    let nodes = kubectl().get(&["nodes"]).unwrap();
    let nodes = nodes["items"].as_array().unwrap().clone();
    nodes.iter().flat_map(addresses).map(|ip| whole(&ip)).collect()
}

/// Where the API server calls from: its own endpoints.
fn api_server_ranges() -> Vec<String> {
    let slices = kubectl().get(&["endpointslices", "--selector=kubernetes.io/service-name=kubernetes"]);
    let slices = slices.unwrap()["items"].as_array().unwrap().clone();
    let endpoints = slices
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().unwrap().clone());
    let addresses = endpoints.flat_map(|endpoint| endpoint["addresses"].as_array().unwrap().clone());
    addresses.map(|ip| whole(ip.as_str().unwrap())).collect()
}

fn whole(ip: &str) -> String {
    format!("{ip}/{}", if ip.contains(':') { 128 } else { 32 })
}

fn addresses(node: &Value) -> Vec<String> {
    let addresses = node["status"]["addresses"].as_array().unwrap();
    let internal = addresses.iter().filter(|address| address["type"] == "InternalIP");
    internal
        .map(|address| address["address"].as_str().unwrap().to_owned())
        .collect()
}

/// Where a service's HTTP port is to be had at a node.
pub(crate) fn node_port(world: &World, service: &str, node: &str) -> SocketAddr {
    let port = world.get(&["service", service])["spec"]["ports"][0]["nodePort"]
        .as_u64()
        .unwrap();
    let node = kubectl().get(&["node", node]).unwrap();
    let ip = addresses(&node)[0].parse().unwrap();
    SocketAddr::new(ip, port.try_into().unwrap())
}

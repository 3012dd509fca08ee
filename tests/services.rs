//! Where a captured connection goes: the agent is the kube-proxy of its pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    time::Duration,
};

use harness::{Addresses, App, Family, Object, Pod, Server, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::{Mesh, Single};

const SERVICE: Addresses = Addresses::service(10);

#[test]
fn a_service_is_served_by_all_its_ready_endpoints_on_both_nodes() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let servers = [(0, "a"), (0, "b"), (1, "c")].map(|(node, name)| web(&mesh, node, name));
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    for family in Family::BOTH {
        wait_served(&client, SERVICE.at(family, 80));
        let answers = ask(&client, SERVICE.at(family, 80), 60);
        assert_eq!(
            answers.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            BTreeSet::from(["a", "b", "c"])
        );
    }
    mesh.agents[0].record("the service named", |record| record["service"] == "mesh/web");
    drop(servers);
}

#[test]
fn the_less_loaded_endpoint_is_preferred() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let servers = ["a", "b"].map(|name| web_with(&mesh, 1, name, App::Banner));
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    let to = SERVICE.at(Family::V4, 80);
    wait_served(&client, to);
    let held: Vec<_> = (0..40).map(|_| client.connect(to).unwrap()).collect();
    let mut counts = BTreeMap::<String, usize>::new();
    held.iter()
        .for_each(|stream| *counts.entry(Talk::line(stream).unwrap()).or_default() += 1);
    assert!(counts.values().all(|count| (15..=25).contains(count)), "{counts:?}");
    drop(servers);
}

#[test]
fn a_named_target_port_may_differ_from_pod_to_pod() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let servers = [("a", 8080), ("b", 9090)].map(|(name, port)| {
        let pod = mesh
            .node
            .pod(&format!("plain/{name}"))
            .label("app", "web")
            .port("main", port)
            .start();
        let app = pod.serve(port, App::Who);
        (pod, app)
    });
    mesh.apply(&Object::service("plain/web", SERVICE, "web").port("main", 80, "main"));
    for family in Family::BOTH {
        wait_served(&client, SERVICE.at(family, 80));
        // An endpoint that did not answer at once is picked last for a moment.
        wait::until(wait::PATIENCE, "both pods serve", || {
            ask(&client, SERVICE.at(family, 80), 40).len() == 2
        });
    }
    drop(servers);
}

#[test]
fn a_service_without_selector_is_served_by_all_its_slices() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let servers = ["a", "b"].map(|name| {
        let pod = mesh.plain(name);
        let app = pod.serve(8080, App::Who);
        (pod, app)
    });
    mesh.apply(
        &Object::service("plain/web", SERVICE, "none")
            .spec("selector", Value::Null)
            .port("main", 80, 8080),
    );
    for (pod, _) in &servers {
        for family in Family::BOTH {
            let name = format!("plain/web-{}-{family:?}", pod.object().name()).to_lowercase();
            mesh.apply(&Object::slice(&name, "web", &[("main", 8080)]).endpoint(pod.addresses().of(family)));
        }
    }
    for family in Family::BOTH {
        wait_served(&client, SERVICE.at(family, 80));
        wait::until(wait::PATIENCE, "both slices serve", || {
            ask_some(&client, SERVICE.at(family, 80), 20).len() == 2
        });
    }
}

#[test]
fn an_external_ip_leads_to_the_service() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let server = plain_web(&mesh, "a");
    mesh.apply(
        &Object::service("plain/web", SERVICE, "web")
            .port("main", 80, 8080)
            .spec("externalIPs", json!(["203.0.113.7"])),
    );
    wait_served(&client, "203.0.113.7:80".parse().unwrap());
    drop(server);
}

#[test]
fn an_endpoint_that_is_not_ready_gets_nothing_unless_a_terminating_one_is_all_there_is() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let servers = ["ready", "unready", "ending"].map(|name| plain_web(&mesh, name));
    let conditions = |ready, serving, terminating| json!({ "conditions": { "ready": ready, "serving": serving, "terminating": terminating } });
    let slice = |with_ready: bool| {
        let address = |index: usize| servers[index].0.addresses().v4.into();
        let slice = Object::slice("plain/web", "web", &[("main", 8080)])
            .endpoint_with(address(1), conditions(false, false, false))
            .endpoint_with(address(2), conditions(false, true, true));
        if with_ready {
            slice.endpoint_with(address(0), conditions(true, true, false))
        } else {
            slice
        }
    };
    mesh.apply(
        &Object::service("plain/web", SERVICE, "none")
            .spec("selector", Value::Null)
            .port("main", 80, 8080),
    );
    let to = SERVICE.at(Family::V4, 80);

    mesh.apply(&slice(true));
    wait_served(&client, to);
    assert_eq!(ask(&client, to, 20).into_keys().collect::<Vec<_>>(), ["ready"]);

    mesh.apply(&slice(false));
    wait::until(wait::PATIENCE, "the terminating one serves", || {
        ask_some(&client, to, 10).into_keys().collect::<Vec<_>>() == ["ending"]
    });
}

#[test]
fn internal_traffic_policy_local_keeps_to_the_node_or_refuses() {
    let mesh = Mesh::start();
    let clients = [mesh.pod(0, "mesh/here"), mesh.pod(1, "mesh/there")];
    let server = web(&mesh, 0, "a");
    let local = Object::service("mesh/web", SERVICE, "web")
        .port("main", 80, 8080)
        .spec("internalTrafficPolicy", "Local");
    mesh.apply(&local);
    for family in Family::BOTH {
        wait_served(&clients[0], SERVICE.at(family, 80));
        refused(&clients[1], SERVICE.at(family, 80));
    }
    mesh.agents[1].record("the refusal", |record| record["reason"] == "no_endpoint");
    drop(server);
}

#[test]
fn traffic_distribution_prefers_the_same_node_and_falls_back() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let far = web(&mesh, 1, "far");
    let near = web(&mesh, 0, "near");
    mesh.apply(
        &Object::service("mesh/web", SERVICE, "web")
            .port("main", 80, 8080)
            .spec("trafficDistribution", "PreferSameNode"),
    );
    let to = SERVICE.at(Family::V4, 80);
    wait_served(&client, to);
    wait::until(wait::PATIENCE, "only the near one", || {
        ask_some(&client, to, 20).into_keys().collect::<Vec<_>>() == ["near"]
    });
    drop(near);
    wait::until(wait::PATIENCE, "the far one", || {
        ask_some(&client, to, 5).into_keys().collect::<Vec<_>>() == ["far"]
    });
    drop(far);
}

#[test]
fn client_ip_affinity_keeps_a_client_at_its_endpoint() {
    let mesh = Single::start();
    let clients: Vec<_> = (0..6)
        .map(|number| mesh.pod(&format!("mesh/client-{number}")))
        .collect();
    let servers = ["a", "b", "c"].map(|name| plain_web(&mesh, name));
    mesh.apply(
        &Object::service("plain/web", SERVICE, "web")
            .port("main", 80, 8080)
            .spec("sessionAffinity", "ClientIP"),
    );
    let to = SERVICE.at(Family::V4, 80);
    let mut used = BTreeSet::new();
    for client in &clients {
        wait_served(client, to);
        let answers = ask(client, to, 10);
        assert_eq!(answers.len(), 1, "{answers:?}");
        used.extend(answers.into_keys());
    }
    assert!(used.len() > 1, "six clients do not all meet at {used:?}");
    drop(servers);
}

#[test]
fn a_pods_own_address_and_a_headless_service_lead_to_that_pod_only() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let servers = [(0, "a"), (1, "b")].map(|(node, name)| web(&mesh, node, name));
    mesh.apply(&Object::headless("mesh/web", "web").port("main", 8080, 8080));
    for (pod, _) in &servers {
        for family in Family::BOTH {
            let answers = ask(&client, pod.addresses().at(family, 8080), 10);
            assert_eq!(answers.into_keys().collect::<Vec<_>>(), [pod.object().name()]);
        }
    }
}

#[test]
fn a_port_that_the_service_lacks_is_refused_by_name() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let server = plain_web(&mesh, "a");
    mesh.apply(&Object::service("plain/web", SERVICE, "web").port("main", 80, 8080));
    for family in Family::BOTH {
        wait_served(&client, SERVICE.at(family, 80));
        refused(&client, SERVICE.at(family, 81));
    }
    mesh.agent
        .record("the refusal", |record| record["reason"] == "no_such_port");
    drop(server);
}

#[test]
fn an_address_family_without_endpoints_is_refused() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let (server, app) = plain_web(&mesh, "a");
    mesh.apply(
        &Object::service("plain/web", SERVICE, "none")
            .spec("selector", Value::Null)
            .port("main", 80, 8080),
    );
    mesh.apply(&Object::slice("plain/web", "web", &[("main", 8080)]).endpoint(server.addresses().v6.into()));
    wait_served(&client, SERVICE.at(Family::V6, 80));
    refused(&client, SERVICE.at(Family::V4, 80));
    mesh.agent
        .record("the refusal", |record| record["reason"] == "no_endpoint");
    drop(app);
}

#[test]
fn a_refusing_endpoint_costs_one_retry_and_no_failure() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let servers = ["a", "b"].map(|name| plain_web(&mesh, name));
    let closed = mesh.node.pod("plain/closed").label("app", "web").start();
    mesh.apply(&Object::service("plain/web", SERVICE, "web").port("main", 80, 8080));
    let to = SERVICE.at(Family::V4, 80);
    wait_served(&client, to);
    assert_eq!(ask(&client, to, 60).values().sum::<usize>(), 60);
    drop((servers, closed));
}

#[test]
fn a_refused_upstream_is_a_reset_and_never_a_clean_end() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    let [near, far, plain] = [
        mesh.pod(0, "mesh/near"),
        mesh.pod(1, "mesh/far"),
        mesh.plain(1, "plain"),
    ];
    for server in [&near, &far, &plain] {
        for family in Family::BOTH {
            refused(&client, server.addresses().at(family, 8080));
        }
    }
    // Whose application it is tells the reason: to the other agent one may have connected before it was refused there.
    for (agent, servers) in mesh.agents.iter().zip([vec![&near, &plain], vec![&far]]) {
        for to in servers
            .iter()
            .flat_map(|server| Family::BOTH.map(|family| server.addresses().at(family, 8080)))
        {
            agent.record(&format!("the refusal of {to}"), |record| {
                record["reason"] == "upstream_refused" && record["original_destination"] == to.to_string().as_str()
            });
        }
    }
}

/// A server of the application `web` in the mesh that says who it is.
fn web(mesh: &Mesh, node: usize, name: &str) -> (Pod, Server) {
    web_with(mesh, node, name, App::Who)
}

fn web_with(mesh: &Mesh, node: usize, name: &str, app: App) -> (Pod, Server) {
    let pod = mesh.nodes[node]
        .pod(&format!("mesh/{name}"))
        .label("app", "web")
        .start();
    crate::mesh::wait_captured(&mesh.nodes[node], &pod);
    let app = pod.serve(8080, app);
    (pod, app)
}

/// The same outside the mesh.
pub(crate) fn plain_web(mesh: &Single, name: &str) -> (Pod, Server) {
    let pod = mesh.node.pod(&format!("plain/{name}")).label("app", "web").start();
    let app = pod.serve(8080, App::Who);
    (pod, app)
}

/// Waits until an application that speaks first answers there. Before the agent knows the service, it dials an address
/// that nobody has.
pub(crate) fn wait_served(client: &Pod, to: SocketAddr) {
    wait::until(wait::PATIENCE, format!("{to} served"), || {
        let dial = client.dial(to).timeout(Duration::from_millis(300));
        dial.connect().and_then(Talk::line).is_ok()
    });
}

/// Connects that often and counts who answered; panics when one connection fails.
fn ask(client: &Pod, to: SocketAddr, times: usize) -> BTreeMap<String, usize> {
    let answers = ask_some(client, to, times);
    assert_eq!(answers.values().sum::<usize>(), times, "{answers:?}");
    answers
}

/// Connects that often and counts who answered.
pub(crate) fn ask_some(client: &Pod, to: SocketAddr, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let Ok(answer) = client.connect(to).and_then(Talk::line) else {
            continue;
        };
        let name = answer.split(' ').next().unwrap_or_default().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Checks that the client sees RST, at once or as the first thing after the handshake.
pub(crate) fn refused(client: &Pod, to: SocketAddr) {
    let error = client.connect(to).and_then(Talk::hear).expect_err("a refusal");
    let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];
    assert!(kinds.contains(&error.kind()), "{to}: {error}");
}

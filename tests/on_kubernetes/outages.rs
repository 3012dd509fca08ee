//! What goes on while a part of Weft, or of Kubernetes, is replaced or away. Each has the cluster for itself.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::SystemTime,
};

use cluster::Cluster;
use harness::{skip, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{debug, pods_of, system, until_ready},
    strict::ask_path_from,
    workload::{Pod, mtls, service},
    world::{Call, PATIENCE, World, simulated},
};

#[test]
fn no_new_connection_between_pods_that_fail_open_fails_while_all_agents_are_replaced() {
    let open = World::alone();
    let strict = open.beside();
    strict.label("weft.dev/mesh=enabled");
    strict.apply(&mtls(None, &json!({"mode": "Strict"})));
    let worlds = [("open", &open), ("strict", &strict)];
    for (_, world) in worlds {
        start_traffic(world);
    }

    let begun = SystemTime::now();
    let before = pods_of("weft-agent");
    system(&["rollout", "restart", "daemonset/weft-agent"]).unwrap();
    until_ready("daemonset/weft-agent");
    assert!(pods_of("weft-agent").is_disjoint(&before));
    let outcomes: Vec<_> = worlds
        .into_iter()
        .flat_map(|(name, world)| CALLERS.map(|caller| (name, caller, settled(world, caller, begun))))
        .collect();
    for (name, caller, calls) in &outcomes {
        let failed = calls.iter().filter(|call| call.outcome.is_err()).count();
        println!("{name}, {caller}: {failed} of {} new connections failed", calls.len());
    }
    let failed: Vec<_> = outcomes
        .iter()
        .flat_map(|(name, caller, calls)| calls.iter().map(move |call| (name, caller, call)))
        // What fails closed is refused until its agent has a successor, where no agent has spoken with it lately.
        .filter(|(name, _, call)| **name == "open" && call.outcome.is_err())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn traffic_goes_on_while_the_api_server_is_away_for_a_minute() {
    let Some(cluster) = simulated() else {
        skip!("the API server is not ours to stop");
    };
    let world = World::alone();
    world.apply(&mtls(None, &json!({"mode": "Strict"})));
    start_traffic(&world);
    let begun = SystemTime::now();
    let control = cluster.control().unwrap();
    control.kill().unwrap();
    wait::until(PATIENCE, "a mesh that is a minute old", || age(&cluster) >= 60.0);
    let ready = ask_path_from(&cluster.nodes().unwrap()[0].machine, ADMIN, "/readyz").unwrap();
    cluster.restart(&control).unwrap();
    assert!(ready.contains("ready, stale: "), "{ready}");
    wait::until(PATIENCE, "the API server found again", || {
        let ready = ask_path_from(&cluster.nodes().unwrap()[0].machine, ADMIN, "/readyz");
        ready.is_ok_and(|ready| ready.ends_with("\r\n\r\nready\n"))
    });
    for caller in CALLERS {
        none_failed(&settled(&world, caller, begun));
    }
}

#[test]
fn certificates_are_issued_while_a_ca_is_killed() {
    let world = World::alone();
    world.apply(&mtls(None, &json!({"mode": "Strict"})));
    start_traffic(&world);
    let begun = SystemTime::now();
    let replicas = pods_of("weft-ca");
    assert!(replicas.len() >= 2, "{replicas:?}");
    kill(replicas.first().unwrap());
    world.start(&[Pod::new("late").on("node-1")]);
    // Its first call may come while its agent still turns to the other replica.
    wait::until(PATIENCE, "the new pod served", || {
        let called = world.call("late", &world.http("far"));
        called.inspect_err(|error| println!("not served: {error:?}")).is_ok()
    });
    until_ready("deployment/weft-ca");
    for caller in CALLERS {
        none_failed(&settled(&world, caller, begun));
    }
}

#[test]
fn a_root_is_replaced_and_no_new_connection_fails() {
    let world = World::alone();
    let ca = pods_of("weft-ca").first().unwrap().clone();
    let tell = |what: &[&str]| system(&[&["exec", &ca, "--", "/weft", "ca", "--kubernetes"], what].concat());
    let shown: Value = serde_json::from_str(&tell(&["show"]).unwrap()).unwrap();
    if shown["rotation"] != "none" {
        skip!("a root is being replaced already, until the last certificate of the old one ends: {shown}");
    }
    world.apply(&mtls(None, &json!({"mode": "Strict"})));
    start_traffic(&world);
    let begun = SystemTime::now();
    let old = roots();
    assert_eq!(old.len(), 1);
    tell(&["rotate"]).unwrap();
    wait::until(PATIENCE, "the new root signs", || tell(&["rotate", "--force"]).is_ok());
    wait::until(PATIENCE, "certificates of another root alone", || {
        let roots = roots();
        roots.len() == 1 && roots.is_disjoint(&old)
    });
    for caller in CALLERS {
        none_failed(&settled(&world, caller, begun));
    }
}

#[test]
fn another_controller_leads_when_the_leader_is_killed() {
    let _world = World::alone();
    let leader = || {
        let lease = system(&["get", "lease", "weft-controller", "--output=json"]).unwrap();
        let lease: Value = serde_json::from_str(&lease).unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    let first = leader();
    assert!(pods_of("weft-controller").contains(&first), "{first}");
    kill(&first);
    wait::until(PATIENCE, "another leader", || {
        let next = leader();
        next != first && pods_of("weft-controller").contains(&next)
    });
    until_ready("deployment/weft-controller");
}

/// Servers on both nodes, and callers who go each way between them.
fn start_traffic(world: &World) {
    // Agents of other nodes know who a pod is by the services in front of it.
    ["near", "far"].iter().for_each(|server| world.apply(&service(server)));
    world.start(&[Pod::new("near").on("node-1"), Pod::new("far").on("node-2")]);
    let [out, back] = CALLERS;
    for (caller, node, server) in [(out, "node-1", "far"), (back, "node-2", "near")] {
        world.apply(&Pod::caller(caller, &world.http(server)).on(node).object());
    }
    CALLERS.iter().for_each(|caller| world.until_calls(caller, true));
}

/// The calls since then, when the last ones of a caller are answered again.
fn settled(world: &World, caller: &str, since: SystemTime) -> Vec<Call> {
    let quiet = SystemTime::now();
    wait::until(PATIENCE, format!("calls of {caller}"), || {
        world.calls(caller).last().is_some_and(|call| call.at > quiet)
    });
    world.until_calls(caller, true);
    let calls = world.calls(caller).into_iter();
    calls.filter(|call| call.at > since).collect()
}

fn none_failed(calls: &[Call]) {
    let failed: Vec<_> = calls.iter().filter(|call| call.outcome.is_err()).collect();
    println!("{} of {} new connections failed", failed.len(), calls.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Ends a pod of Weft's as if its process were gone.
fn kill(pod: &str) {
    system(&["delete", "pod", pod, "--force", "--grace-period=0"]).unwrap();
}

/// The roots that have signed the certificates of both nodes.
fn roots() -> BTreeSet<String> {
    let shown = ["node-1", "node-2"]
        .into_iter()
        .filter_map(|node| debug(node, &["cert", "show"]).ok());
    let rows = shown.flat_map(|rows| rows.as_array().cloned().unwrap_or_default());
    rows.filter_map(|row| row["root"].as_str().map(str::to_owned)).collect()
}

/// How old the mesh of the older agent is, in seconds.
fn age(cluster: &Cluster) -> f64 {
    let nodes = cluster.nodes().unwrap();
    let ages = nodes.iter().map(|node| {
        let metrics = ask_path_from(&node.machine, ADMIN, "/metrics").unwrap_or_default();
        let age = metrics
            .lines()
            .find_map(|line| line.strip_prefix("weft_mesh_age_seconds "));
        age.and_then(|age| age.parse().ok()).unwrap_or_default()
    });
    ages.fold(0.0, f64::max)
}

const CALLERS: [&str; 2] = ["out", "back"];

/// Where an agent answers on its node.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15020);

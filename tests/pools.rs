//! Connections between agents that wait for their next stream: how many, for how long, and none where they are off.

use std::time::{Duration, Instant};

use harness::{App, Family, Pod, Talk, wait};
use serde_json::Value;

use crate::{
    mesh::Mesh,
    mtls::{Pair, TEXT, pooled},
    policy::network_policy,
};

#[test]
fn without_a_pool_each_stream_has_a_connection_of_its_own() {
    let pair = Pair::of(Mesh::start_secured_with(&[], &["--pool", "off"]));
    for family in Family::BOTH {
        let before = handshakes(&pair.mesh);
        for _ in 0..5 {
            assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
            assert_eq!(pooled(&pair, family), 0);
        }
        assert_eq!(handshakes(&pair.mesh) - before, 5.0, "{family:?}");
    }
    let resumed = pair.mesh.agents[0].metric("weft_tls_handshakes_total", &["kind=\"resumed\""]);
    assert_eq!(resumed, 0.0, "each handshake is a full one");
}

#[test]
fn no_more_connections_wait_for_one_destination_than_the_limit_says() {
    let pair = Pair::of(Mesh::start_secured_with(&[], &["--lanes", "1"]));
    let to = pair.to(Family::V4);
    let streams: Vec<_> = (0..LIMIT + 20).map(|_| pair.client.connect(to).unwrap()).collect();
    for stream in &streams {
        assert_eq!(Talk::ask(stream, b"hello").unwrap(), b"hello");
    }
    drop(streams);
    wait::until(wait::PATIENCE, "all streams over", || {
        pair.mesh.agents[0].records().len() == LIMIT + 20
    });
    wait::until(wait::PATIENCE, "as many wait as may", || {
        pooled(&pair, Family::V4) == LIMIT
    });
    // They serve, and what they serve comes back to the same places.
    assert_eq!(pair.talk(Family::V4).unwrap(), TEXT.as_bytes());
    assert!(pooled(&pair, Family::V4) <= LIMIT);
}

#[test]
fn a_change_of_a_network_policy_of_either_end_flushes_the_pools_between_nodes_and_of_others_does_not() {
    let mesh = Mesh::start_secured();
    mesh.lab.manifests().enrolled("other");
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "other/server"));
    let _app = server.serve(8080, App::Echo);
    mesh.wait_certified();
    // That of strangers first: five seconds after a change all goes again.
    for (namespace, flushes) in [("plain", false), ("mesh", true), ("other", true)] {
        for family in Family::BOTH {
            let waits = wait::until_some(wait::PATIENCE, "a connection waits", || {
                talk(&client, &server, family);
                ids(&mesh, &server, family).pop()
            });
            let before = handshakes(&mesh);
            mesh.apply(&network_policy(namespace, 8080, &format!("{namespace}-{family:?}")));
            let kept = || ids(&mesh, &server, family).contains(&waits);
            if flushes {
                wait::until(wait::PATIENCE, format!("{namespace} flushes"), || !kept());
                talk(&client, &server, family);
                assert!(handshakes(&mesh) > before, "{namespace}");
            } else {
                wait::holds(wait::PATIENCE / 20, format!("{namespace} is none of theirs"), kept);
            }
        }
    }
}

#[test]
fn what_is_dialled_within_five_seconds_after_such_a_change_is_flushed_once_more_and_what_comes_later_is_kept() {
    let mesh = Mesh::start_secured();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    mesh.wait_certified();
    for family in Family::BOTH {
        // Waits for a connection that has not been seen before.
        let dialled = |known: &[Value]| {
            wait::until_some(wait::PATIENCE, "a new connection waits", || {
                talk(&client, &server, family);
                ids(&mesh, &server, family).into_iter().find(|id| !known.contains(id))
            })
        };
        let gone = |id: &Value| !ids(&mesh, &server, family).contains(id);
        let before = dialled(&[]);
        mesh.apply(&network_policy("mesh", 8080, &format!("mesh-{family:?}")));
        let changed = Instant::now();
        wait::until(wait::PATIENCE, "the first flush", || gone(&before));
        let meanwhile = dialled(std::slice::from_ref(&before));
        let soon = changed.elapsed() < SETTLED;
        wait::until(LONGEST_IDLE + wait::PATIENCE, "its end", || gone(&meanwhile));
        // What a slow machine has dialled later than meant ends when it has waited for too long.
        let flushed = (SETTLED..LONGEST_IDLE).contains(&changed.elapsed());
        assert!(flushed || !soon, "{:?}", changed.elapsed());
        let later = dialled(&[before, meanwhile]);
        wait::holds(3 * SWEEP, "what comes later waits", || !gone(&later));
    }
}

fn talk(client: &Pod, server: &Pod, family: Family) {
    let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
    assert_eq!(Talk::ask(&stream, TEXT.as_bytes()).unwrap(), TEXT.as_bytes());
}

/// The connections to the server that wait.
fn ids(mesh: &Mesh, server: &Pod, family: Family) -> Vec<Value> {
    let to = server.addresses().at(family, 8080).to_string();
    let shown = mesh.agents[0].debug(&["conn", "show"]);
    let rows = shown.as_array().cloned().unwrap_or_default();
    let such = |row: &&Value| row["phase"] == "pooled" && row["destination"] == to.as_str();
    rows.iter().filter(such).map(|row| row["id"].clone()).collect()
}

/// How many handshakes the client's agent has begun.
fn handshakes(mesh: &Mesh) -> f64 {
    mesh.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\""])
}

/// How many connections may wait for one pod and address in a lane.
const LIMIT: usize = 256;
/// How long a network may take to do what a NetworkPolicy says.
const SETTLED: Duration = Duration::from_secs(5);
/// How long a connection may wait.
const LONGEST_IDLE: Duration = Duration::from_secs(30);
/// How often an agent looks at what waits.
const SWEEP: Duration = Duration::from_secs(1);

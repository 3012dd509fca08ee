//! What passes between nodes: mutual TLS on the original port, attributed to pods, and refused where it must be.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use harness::{App, Family, Pod, Sniffer, Talk, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{Mesh, wait_captured},
    policy::{authorization, cut, is_of},
};

/// A client on the first node and a server on the second, of one mesh.
pub(crate) struct Pair {
    pub(crate) client: Pod,
    pub(crate) server: Pod,
    pub(crate) mesh: Mesh,
    _app: harness::Server,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::of(Mesh::start_secured())
    }

    pub(crate) fn of(mesh: Mesh) -> Self {
        let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
        let app = server.serve(8080, App::Echo);
        mesh.wait_certified();
        Self {
            client,
            server,
            _app: app,
            mesh,
        }
    }

    pub(crate) fn to(&self, family: Family) -> SocketAddr {
        self.server.addresses().at(family, 8080)
    }

    pub(crate) fn talk(&self, family: Family) -> io::Result<Vec<u8>> {
        Talk::ask(&self.client.connect(self.to(family))?, TEXT.as_bytes())
    }

    /// Waits for a record of the client's agent.
    pub(crate) fn record(&self, family: Family, such: impl Fn(&Value) -> bool) -> Value {
        self.mesh.agents[0].record("a record", |record| is_of(record, family) && such(record))
    }

    fn ca(&self, arguments: &[&str]) {
        let ca = self.mesh.ca.as_ref().expect("the mesh has a CA");
        let outcome = ca.command(arguments);
        assert_eq!(outcome.code, Some(0), "weft ca {arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_connection_between_nodes_is_mutual_tls_on_its_original_port_and_nobody_on_the_wire_reads_it() {
    let pair = Pair::start();
    for family in Family::BOTH {
        let sniffers = [&pair.client, &pair.server].map(|pod| Sniffer::looking_for(pod.netns(), "eth0", TEXT));
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
        let record = pair.record(family, |record| record["reason"].is_null());
        assert_eq!(record["security"], "mutual_tls");
        assert_eq!(record["source_identity"], "spiffe://cluster.local/ns/mesh/sa/default");
        assert_eq!(
            record["destination_identity"],
            "spiffe://cluster.local/ns/mesh/sa/default"
        );
        let served = pair.mesh.agents[1].record("the server's record", |record| is_of(record, family));
        assert_eq!(served["security"], "mutual_tls");
        assert_eq!(served["source_pod"], "mesh/client");
        assert_eq!(served["source_identity"], "spiffe://cluster.local/ns/mesh/sa/default");
        for sniffer in sniffers {
            let to_port = |packet: &harness::Packet| packet.destination == pair.to(family) && packet.payload > 0;
            wait::until(wait::PATIENCE, "bytes on the original port", || {
                sniffer.count(to_port) > 0
            });
            assert_eq!(sniffer.told(), 0, "{:?}", sniffer.packets());
        }
    }
}

#[test]
fn the_application_sees_the_clients_own_address_behind_mutual_tls() {
    let mesh = Mesh::start_secured();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let app = server.serve(8080, App::Echo);
    mesh.wait_certified();
    for family in Family::BOTH {
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");
        assert_eq!(app.peers().last().unwrap().ip(), client.addresses().of(family));
    }
}

#[test]
fn streams_follow_each_other_on_one_connection_without_another_handshake() {
    let pair = Pair::start();
    let handshakes = || pair.mesh.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\""]);
    for family in Family::BOTH {
        let before = handshakes();
        for _ in 0..20 {
            assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
            // The connection is back in its pool when its stream has ended on both sides.
            wait::until(wait::PATIENCE, "the connection waits", || pooled(&pair, family) > 0);
        }
        // One for each lane at most.
        assert!(handshakes() - before <= 2.0, "{} handshakes", handshakes() - before);
    }
}

#[test]
fn open_streams_wait_for_nobody() {
    let pair = Pair::start();
    for family in Family::BOTH {
        let streams: Vec<_> = (0..10).map(|_| pair.client.connect(pair.to(family)).unwrap()).collect();
        for stream in streams.iter().rev() {
            assert_eq!(Talk::ask(stream, b"hello").unwrap(), b"hello");
        }
    }
}

#[test]
fn a_pooled_connection_whose_agent_has_gone_is_replaced() {
    let mut pair = Pair::start();
    for family in Family::BOTH {
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
    }
    pair.mesh.agents[1].restart();
    wait_captured(&pair.mesh.nodes[1], &pair.server);
    pair.mesh.wait_certified();
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "served by the next agent", || pair.talk(family).is_ok());
    }
}

#[test]
fn the_labels_of_a_remote_pod_count_in_a_policy_and_its_change_cuts() {
    let pair = Pair::start();
    let live = Family::BOTH.map(|family| pair.client.connect(pair.to(family)).unwrap());
    for stream in &live {
        assert_eq!(Talk::ask(stream, b"before").unwrap(), b"before");
    }
    pair.mesh.apply(&authorization(
        "deny-client",
        json!({ "action": "DENY", "rules": [{ "from": [{ "podLabels": { "app": "client" } }] }] }),
    ));
    for (stream, family) in live.iter().zip(Family::BOTH) {
        assert_eq!(cut(stream), ErrorKind::ConnectionReset);
        let refused = pair.mesh.agents[1].record("the cut", |record| {
            record["reason"] == "policy_denied" && record["bytes_sent"] == 6 && is_of(record, family)
        });
        assert_eq!(refused["policy"], "AuthorizationPolicy mesh/deny-client");
        assert!(pair.talk(family).is_err());
        // The client's agent says why too: the server's has told it.
        pair.record(family, |record| record["reason"] == "policy_denied");
    }
}

#[test]
fn a_pod_on_the_deny_list_is_cut_and_refused_and_let_in_again() {
    let pair = Pair::start();
    let live = Family::BOTH.map(|family| pair.client.connect(pair.to(family)).unwrap());
    for stream in &live {
        assert_eq!(Talk::ask(stream, b"before").unwrap(), b"before");
    }
    pair.ca(&["deny", "--pod", pair.client.uid()]);
    for (stream, family) in live.iter().zip(Family::BOTH) {
        assert_eq!(cut(stream), ErrorKind::ConnectionReset);
        assert!(pair.talk(family).is_err());
        pair.mesh.agents[1].record("the cut", |record| {
            record["reason"] == "identity_denied" && is_of(record, family)
        });
    }
    pair.ca(&["allow", "--pod", pair.client.uid()]);
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "let in again", || pair.talk(family).is_ok());
    }
}

#[test]
fn a_root_is_replaced_under_traffic_without_one_failure() {
    let pair = Pair::of(Mesh::start_secured_by(&[
        "--short-life",
        "16s",
        "--rotation-step",
        "1s",
    ]));
    let shown = || pair.mesh.ca.as_ref().expect("the mesh has a CA").show();
    let old = shown()["roots"].clone();
    let handshakes = || pair.mesh.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\""]);
    assert_eq!(pair.talk(Family::V4).unwrap(), TEXT.as_bytes());
    let before = handshakes();
    pair.ca(&["rotate"]);
    let mut served = 0;
    wait::until(Duration::from_secs(60), "the old root gone", || {
        for family in Family::BOTH {
            assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
            served += 1;
        }
        shown()["rotation"] == "none" && shown()["roots"] != old
    });
    for family in Family::BOTH {
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
    }
    assert!(served > 10);
    assert!(
        handshakes() > before,
        "what the old root proved carries nothing more: the new one is shown"
    );
}

#[test]
fn each_of_thirty_thousand_connections_ends_as_the_policy_of_its_record_says() {
    let pair = Pair::start();
    let to = pair.to(Family::V4);
    let deny = authorization(
        "deny-client",
        json!({ "action": "DENY", "rules": [{ "from": [{ "podLabels": { "app": "client" } }] }] }),
    );
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < CONNECTIONS {
                        let served = pair.client.connect(to).and_then(|stream| Talk::ask(&stream, b"x"));
                        if served.is_err() {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        while !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            pair.mesh.apply(&deny);
            thread::sleep(CHANGE);
            pair.mesh.lab.manifests().delete(&deny);
            thread::sleep(CHANGE);
        }
    });
    let records = wait::until_some(wait::PATIENCE * 3, "a record of each connection", || {
        Some(pair.mesh.agents[1].records()).filter(|records| records.len() >= CONNECTIONS)
    });
    let mut verdicts: BTreeMap<u64, bool> = BTreeMap::new();
    let (mut denied, mut unanswered) = (0, 0);
    for record in &records {
        let refused = match record["reason"].as_str() {
            None => false,
            Some("policy_denied") => true,
            Some(other) => panic!("{other}: {record}"),
        };
        denied += usize::from(refused);
        unanswered += usize::from(refused && record["bytes_received"] == 0);
        assert_eq!(
            record["policy"] == "AuthorizationPolicy mesh/deny-client",
            refused,
            "{record}"
        );
        let generation = record["mesh_generation"].as_u64().unwrap();
        assert_eq!(*verdicts.entry(generation).or_insert(refused), refused, "{record}");
    }
    // Some were cut when they had their answer, and some whose connection was cut under them came again by another.
    let failed = failed.into_inner();
    assert!(failed <= denied, "{failed} failed, {denied} were denied");
    let served = CONNECTIONS - failed;
    assert!(
        served <= records.len() - unanswered,
        "{served} served, {unanswered} refused"
    );
    assert!(denied > 100 && denied < records.len() - 100, "{denied}");
}

/// How many connections to the server wait for their next stream.
pub(crate) fn pooled(pair: &Pair, family: Family) -> usize {
    let shown = pair.mesh.agents[0].debug(&["conn", "show"]);
    let to = pair.to(family).to_string();
    let waits = |row: &&Value| row["phase"] == "pooled" && row["destination"] == to.as_str();
    shown.as_array().map_or(0, |rows| rows.iter().filter(waits).count())
}

pub(crate) const TEXT: &str = "nobody on the wire reads this";

const CONNECTIONS: usize = 30_000;
/// How long a policy holds in the test that changes it again and again.
const CHANGE: Duration = Duration::from_millis(150);

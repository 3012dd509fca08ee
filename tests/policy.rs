//! Who may connect, seen at real connections: AuthenticationPolicy, AuthorizationPolicy, and the network's own say.

use std::{
    io::{self, ErrorKind},
    net::TcpStream,
};

use harness::{App, Family, Object, Pod, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::{Single, wait_captured};

#[test]
fn plaintext_is_refused_by_a_strict_pod_and_served_by_a_permissive_one() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        assert_eq!(talk(&client, &server, family).unwrap(), b"hello");
    }
    mesh.lab.manifests().apply(&strict("mesh"));
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "plaintext is refused", || {
            talk(&client, &server, family).is_err()
        });
        let record = mesh.agent.record("a refusal", |record| {
            record["reason"] == "plaintext_refused" && is_of(record, family)
        });
        assert_eq!(record["fault"], "policy");
    }
}

#[test]
fn a_strict_pod_is_reached_in_plaintext_from_the_ranges_that_its_policy_names() {
    let mesh = Single::start();
    let (friend, stranger) = (mesh.plain("friend"), mesh.plain("stranger"));
    let server = mesh.pod("mesh/server");
    let _app = server.serve(8080, App::Echo);
    let addresses = friend.addresses();
    let policy = strict("mesh").spec(
        "mtls",
        json!({ "mode": "Strict", "plaintextFrom": [format!("{}/32", addresses.v4), format!("{}/128", addresses.v6)] }),
    );
    mesh.lab.manifests().apply(&policy);
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "strangers are refused", || {
            talk(&stranger, &server, family).is_err()
        });
        assert_eq!(talk(&friend, &server, family).unwrap(), b"hello");
    }
}

#[test]
fn plaintext_that_is_older_than_a_strict_pods_capture_is_ended() {
    let mesh = Single::start();
    mesh.lab.manifests().plain("other");
    let client = mesh.plain("client");
    let server = mesh.node.pod("other/server").start();
    let local = mesh.node.pod("other/local").start();
    let _apps = [&server, &local].map(|pod| pod.serve(8080, App::Echo));
    let older = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    let own = Family::BOTH.map(|family| server.connect(server.addresses().at(family, 8080)).unwrap());
    for stream in older.iter().chain(&own) {
        assert_eq!(Talk::ask(stream, b"direct").unwrap(), b"direct");
    }

    mesh.lab.manifests().enrolled("other");
    wait_captured(&mesh.node, &server);
    for stream in older.iter().chain(&own) {
        assert_eq!(Talk::ask(stream, b"permissive").unwrap(), b"permissive");
    }
    mesh.lab.manifests().apply(&strict("other"));
    for stream in &older {
        wait::until(wait::PATIENCE, "the client is cut", || Talk::ask(stream, b"x").is_err());
    }
    for stream in &own {
        assert_eq!(Talk::ask(stream, b"to itself").unwrap(), b"to itself");
    }
}

#[test]
fn plaintext_through_the_agent_is_cut_when_its_pod_becomes_strict() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    let live = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    for stream in &live {
        assert_eq!(Talk::ask(stream, b"permissive").unwrap(), b"permissive");
    }
    mesh.lab.manifests().apply(&strict("mesh"));
    for (stream, family) in live.iter().zip(Family::BOTH) {
        assert_eq!(cut(stream), ErrorKind::ConnectionReset);
        mesh.agent.record("the cut", |record| {
            record["reason"] == "plaintext_refused" && record["bytes_sent"] == 10 && is_of(record, family)
        });
    }
}

#[test]
fn a_policy_allows_the_identity_that_it_names_and_no_other() {
    let mesh = Single::start();
    mesh.lab.manifests().enrolled("other");
    let (named, stranger) = (mesh.pod("mesh/named"), mesh.pod("other/stranger"));
    let server = mesh.pod("mesh/server");
    let _app = server.serve(8080, App::Echo);
    mesh.lab.manifests().apply(&authorization(
        "allow-mesh",
        json!({ "action": "ALLOW", "selector": { "matchLabels": { "app": "server" } },
                "rules": [{ "from": [{ "namespaces": ["mesh"] }] }] }),
    ));
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "the stranger is refused", || {
            talk(&stranger, &server, family).is_err()
        });
        let refused = mesh.agent.record("a refusal", |record| {
            record["reason"] == "policy_denied" && is_of(record, family)
        });
        assert_eq!(refused["source_identity"], "spiffe://cluster.local/ns/other/sa/default");
        assert_eq!(refused["policy"], "AuthorizationPolicy mesh/allow-mesh");
        assert_eq!(talk(&named, &server, family).unwrap(), b"hello");
        let allowed = mesh.agent.record("an allowed connection", |record| {
            record["policy"] == "AuthorizationPolicy mesh/allow-mesh"
                && record["reason"].is_null()
                && is_of(record, family)
        });
        assert_eq!(allowed["security"], "same_node");
        assert_eq!(allowed["source_identity"], "spiffe://cluster.local/ns/mesh/sa/default");
    }
}

#[test]
fn a_policy_that_audits_is_named_in_the_records_of_what_it_matches_and_forbids_nothing() {
    let mesh = Single::start();
    let [watched, other, server] = ["mesh/watched", "mesh/other", "mesh/server"].map(|name| mesh.pod(name));
    let _app = server.serve(8080, App::Echo);
    mesh.lab.manifests().apply(&authorization(
        "watch",
        json!({ "action": "AUDIT", "rules": [{ "from": [{ "podLabels": { "app": "watched" } }] }] }),
    ));
    let name = "AuthorizationPolicy mesh/watch";
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "an audited connection", || {
            assert_eq!(talk(&watched, &server, family).unwrap(), b"hello");
            let records = mesh.agent.records();
            let mut audited = records.iter().filter(|record| record["audited"][0] == name);
            audited.any(|record| record["reason"].is_null() && is_of(record, family))
        });
        assert_eq!(talk(&other, &server, family).unwrap(), b"hello");
        let record = mesh.agent.record("the other's record", |record| {
            record["source_pod"] == "mesh/other" && is_of(record, family)
        });
        assert!(record["audited"].is_null(), "{record}");
    }
}

#[test]
fn a_change_of_policy_cuts_what_it_forbids_and_nothing_else() {
    let mesh = Single::start();
    let [forbidden, allowed, server] = ["mesh/forbidden", "mesh/allowed", "mesh/server"].map(|name| mesh.pod(name));
    let _app = server.serve(8080, App::Echo);
    let to = Family::BOTH.map(|family| server.addresses().at(family, 8080));
    let of = |client: &Pod| to.map(|to| client.connect(to).unwrap());
    let (to_cut, to_keep) = (of(&forbidden), of(&allowed));
    for stream in to_cut.iter().chain(&to_keep) {
        assert_eq!(Talk::ask(stream, b"before").unwrap(), b"before");
    }
    mesh.lab.manifests().apply(&authorization(
        "deny-forbidden",
        json!({ "action": "DENY", "rules": [{ "from": [{ "podLabels": { "app": "forbidden" } }] }] }),
    ));
    for (stream, family) in to_cut.iter().zip(Family::BOTH) {
        assert_eq!(cut(stream), ErrorKind::ConnectionReset);
        let record = mesh.agent.record("the cut", |record| {
            record["reason"] == "policy_denied" && record["bytes_sent"] == 6 && is_of(record, family)
        });
        assert_eq!(record["policy"], "AuthorizationPolicy mesh/deny-forbidden");
    }
    for stream in &to_keep {
        assert_eq!(Talk::ask(stream, b"goes on").unwrap(), b"goes on");
    }
}

#[test]
fn the_network_between_two_pods_of_a_node_decides_although_their_bytes_pass_in_memory() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    let filter = |rules: &str| mesh.node.netns().sh(rules);
    filter(&format!(
        "nft add table netdev weft\n\
         nft 'add chain netdev weft client {{ type filter hook ingress device {} priority 0; }}'",
        client.link()
    ));
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let protocol = if to.is_ipv4() { "ip" } else { "ip6" };
        assert_eq!(talk(&client, &server, family).unwrap(), b"hello");
        filter(&format!(
            "nft add rule netdev weft client {protocol} daddr {} tcp dport 8080 drop",
            to.ip()
        ));
        // What the agent has seen to be possible it asks anew when a NetworkPolicy changes.
        mesh.lab
            .manifests()
            .apply(&network_policy("mesh", to.port(), &format!("{family:?}")));
        wait::until(wait::PATIENCE, "the connection is refused", || {
            talk(&client, &server, family).is_err()
        });
        let record = mesh.agent.record("a refusal", |record| {
            record["reason"] == "path_refused" && is_of(record, family)
        });
        assert_eq!(record["fault"], "policy");
        filter("nft flush chain netdev weft client");
        wait::until(wait::PATIENCE, "the connection is served again", || {
            talk(&client, &server, family).is_ok()
        });
    }
}

/// Asks the server's echo one thing.
fn talk(client: &Pod, server: &Pod, family: Family) -> io::Result<Vec<u8>> {
    let stream = client.connect(server.addresses().at(family, 8080))?;
    Talk::ask(&stream, b"hello")
}

/// Waits until the connection is cut from the other side.
pub(crate) fn cut(stream: &TcpStream) -> ErrorKind {
    Talk::hear(stream).expect_err("the connection is cut").kind()
}

/// Whether a record's connection is of this family.
pub(crate) fn is_of(record: &Value, family: Family) -> bool {
    let destination = record["original_destination"].as_str().unwrap_or_default();
    destination.starts_with('[') == (family == Family::V6)
}

pub(crate) fn strict(namespace: &str) -> Object {
    Object::new(json!({
        "apiVersion": "mesh.weft.dev/v1alpha1",
        "kind": "AuthenticationPolicy",
        "metadata": { "namespace": namespace, "name": "strict" },
        "spec": { "mtls": { "mode": "Strict" } },
    }))
}

pub(crate) fn authorization(name: &str, spec: Value) -> Object {
    Object::new(json!({
        "apiVersion": "mesh.weft.dev/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": { "namespace": "mesh", "name": name },
        "spec": spec,
    }))
}

pub(crate) fn network_policy(namespace: &str, port: u16, name: &str) -> Object {
    Object::new(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "namespace": namespace, "name": name.to_lowercase() },
        "spec": { "podSelector": {}, "ingress": [{ "ports": [{ "port": port }] }] },
    }))
}

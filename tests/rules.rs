//! The rules of policies, a row each, between pods of two nodes: who reaches which port, and who does not.

use harness::{Addresses, App, Family, Object, Pod, Server, Talk, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{Mesh, wait_captured},
    policy::{authorization, is_of},
};

/// A server on the second node, with clients in and outside of the mesh.
struct Scene {
    /// Of the first node.
    far: Pod,
    /// Of the server's node.
    near: Pod,
    /// Of no mesh.
    stranger: Pod,
    server: Pod,
    mesh: Mesh,
    _apps: [Server; 2],
}

/// Whether each client reaches each of [`PORTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    far: [bool; 2],
    near: [bool; 2],
    stranger: [bool; 2],
}

impl Scene {
    fn start() -> Self {
        let mesh = Mesh::start_secured();
        let [far, near, server] = [(0, "far"), (1, "near"), (1, "server")].map(|(node, name)| {
            let pod = mesh.nodes[node].pod(&format!("mesh/{name}")).start();
            wait_captured(&mesh.nodes[node], &pod);
            pod
        });
        let stranger = mesh.plain(0, "stranger");
        let apps = PORTS.map(|port| server.serve(port, App::Echo));
        mesh.wait_certified();
        Self {
            far,
            near,
            stranger,
            server,
            mesh,
            _apps: apps,
        }
    }

    fn reached(&self, family: Family) -> Reached {
        let by = |client: &Pod| {
            PORTS.map(|port| {
                let stream = client.connect(self.server.addresses().at(family, port));
                stream.and_then(|stream| Talk::ask(&stream, b"hello")).is_ok()
            })
        };
        Reached {
            far: by(&self.far),
            near: by(&self.near),
            stranger: by(&self.stranger),
        }
    }

    /// Applies a policy for as long as the row takes.
    fn try_row(&self, policy: &Object, expected: Reached) {
        self.mesh.apply(policy);
        for family in Family::BOTH {
            wait::until(wait::PATIENCE, format!("{expected:?} by {}", policy.value()), || {
                self.reached(family) == expected
            });
        }
        self.mesh.lab.manifests().delete(policy);
        for family in Family::BOTH {
            wait::until(wait::PATIENCE, "everybody reaches everything again", || {
                self.reached(family) == ALL
            });
        }
    }

    fn refusal(&self, policy: &str) -> Value {
        self.mesh.agents[1].record("a refusal", |record| {
            record["reason"] == "policy_denied" && record["policy"] == policy
        })
    }
}

/// The blocks of one pod's addresses.
fn blocks(addresses: Addresses) -> Value {
    json!([{ "cidr": format!("{}/32", addresses.v4) }, { "cidr": format!("{}/128", addresses.v6) }])
}

#[test]
fn an_authorization_policy_decides_by_address_and_by_port_between_nodes_and_on_one() {
    let scene = Scene::start();
    let [far, near, stranger] = [&scene.far, &scene.near, &scene.stranger].map(|pod| blocks(pod.addresses()));
    let (yes, no, first, second) = ([true; 2], [false; 2], [true, false], [false, true]);
    let to = |ports: &[u16]| json!([{ "ports": ports }]);
    let from = |ips: &Value| json!([{ "ipBlocks": ips }]);
    let rows = [
        (
            json!({ "action": "ALLOW", "rules": [{ "from": from(&far) }] }),
            [yes, no, no],
        ),
        (
            json!({ "action": "DENY", "rules": [{ "from": from(&far) }] }),
            [no, yes, yes],
        ),
        (
            json!({ "action": "DENY", "rules": [{ "from": from(&near) }, { "from": from(&stranger) }] }),
            [yes, no, no],
        ),
        (
            json!({ "action": "ALLOW", "rules": [{ "from": [{ "notIpBlocks": near }] }] }),
            [yes, no, yes],
        ),
        (
            json!({ "action": "ALLOW", "rules": [{ "to": to(&PORTS[..1]) }] }),
            [first, first, first],
        ),
        (
            json!({ "action": "DENY", "rules": [{ "to": to(&PORTS[..1]) }] }),
            [second, second, second],
        ),
        (
            json!({ "action": "ALLOW", "rules": [{ "from": from(&far), "to": to(&PORTS[1..]) }, { "from": from(&near) }] }),
            [second, yes, no],
        ),
    ];
    for (spec, [far, near, stranger]) in rows {
        scene.try_row(&authorization("row", on_server(spec)), Reached { far, near, stranger });
    }
    let refused = scene.refusal("AuthorizationPolicy mesh/row");
    assert_eq!(refused["fault"], "policy");
}

#[test]
fn a_policy_with_a_field_that_cannot_be_honoured_denies_everybody_and_says_so() {
    let scene = Scene::start();
    let everybody = json!([{ "from": [{ "ipBlocks": [{ "cidr": "0.0.0.0/0" }, { "cidr": "::/0" }] }] }]);
    let none = Reached {
        far: [false; 2],
        near: [false; 2],
        stranger: [false; 2],
    };
    for spec in [
        json!({ "action": "ALLOW", "rules": everybody, "unless": "it rains" }),
        json!({ "action": "PERHAPS", "rules": everybody }),
        json!({ "action": "DENY", "rules": [{ "to": [{ "ports": [9], "weather": "rain" }] }] }),
    ] {
        let policy = authorization("odd", on_server(spec));
        scene.mesh.apply(&policy);
        let shown = wait::until_some(wait::PATIENCE, "the policy shown", || {
            let rows = scene.mesh.agents[1].debug(&["policy", "show"]);
            let mut rows = rows.as_array().cloned().unwrap_or_default().into_iter();
            rows.find(|row| row["name"] == "odd" && row["pod"] == "mesh/server")
        });
        assert_eq!(shown["understood"], false, "{shown}");
        assert!(!shown["problems"].as_array().unwrap().is_empty(), "{shown}");
        scene.try_row(&policy, none);
    }
    scene.refusal("AuthorizationPolicy mesh/odd");
}

#[test]
fn each_port_of_a_pod_has_a_mode_of_its_own() {
    let scene = Scene::start();
    for (mode, other, stranger) in [
        ("Strict", "Permissive", [false, true]),
        ("Permissive", "Strict", [true, false]),
    ] {
        let mtls = json!({ "mode": mode, "ports": [{ "port": PORTS[1], "mode": other }] });
        let policy = Object::policy("AuthenticationPolicy", "mesh/modes", on_server(json!({ "mtls": mtls })));
        scene.try_row(&policy, Reached { stranger, ..ALL });
    }
    for family in Family::BOTH {
        scene.mesh.agents[1].record("a refusal", |record| {
            record["reason"] == "plaintext_refused" && is_of(record, family)
        });
    }
}

#[test]
fn a_ticket_of_one_pod_is_of_no_use_to_another_and_for_no_other_server() {
    let mesh = Mesh::start_secured();
    let [first, second] = ["mesh/first", "mesh/second"].map(|name| mesh.pod(0, name));
    let servers = ["mesh/server", "mesh/other"].map(|name| mesh.pod(1, name));
    let _apps = servers.each_ref().map(|server| server.serve(PORTS[0], App::Echo));
    mesh.wait_certified();
    let handshakes = || {
        ["full", "resumed"].map(|kind| {
            let kind = format!("kind=\"{kind}\"");
            mesh.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\"", &kind]) as usize
        })
    };
    // Each connection stays open: the next one finds none that waits.
    let mut open = Vec::new();
    let mut step = |client: &Pod, server: &Pod| {
        let [full, resumed] = handshakes();
        let stream = client.connect(server.addresses().at(Family::V4, PORTS[0])).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        open.push(stream);
        let [full_after, resumed_after] = handshakes();
        [full_after - full, resumed_after - resumed]
    };
    let [server, other] = &servers;
    assert_eq!(step(&first, server), [1, 0]);
    assert_eq!(step(&first, server), [0, 1], "its own ticket");
    assert_eq!(step(&second, server), [1, 0], "another client");
    assert_eq!(step(&first, other), [1, 0], "another server");
    assert_eq!(step(&second, server), [0, 1]);
}

fn on_server(mut spec: Value) -> Value {
    spec["selector"] = json!({ "matchLabels": { "app": "server" } });
    spec
}

const PORTS: [u16; 2] = [8080, 8081];
const ALL: Reached = Reached {
    far: [true; 2],
    near: [true; 2],
    stranger: [true; 2],
};

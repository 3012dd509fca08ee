//! How soon a connection ends that has become forbidden: within a second of the change, with the reason.

use std::{
    io::ErrorKind,
    net::TcpStream,
    time::{Duration, Instant},
};

use harness::{Agent, App, Family, Object, Pod, Server, Talk, wait};
use serde_json::json;

use crate::{
    mesh::{Mesh, Single},
    mtls::TEXT,
    policy::{authorization, cut, is_of},
};

/// Connections by both families, which one word has passed.
struct Open([TcpStream; 2]);

/// Two clients of two identities on the first node, and on the second a server and a neighbour of it.
struct Scene {
    client: Pod,
    bystander: Pod,
    neighbour: Pod,
    server: Pod,
    _app: Server,
    mesh: Mesh,
}

// === impl Open ===

impl Open {
    fn new(client: &Pod, server: &Pod) -> Self {
        let to = Family::BOTH.map(|family| server.addresses().at(family, 8080));
        wait::until_some(PATIENCE, "both families served", || {
            let streams = to.map(|to| {
                let stream = client.connect(to).ok()?;
                Talk::ask(&stream, TEXT.as_bytes()).is_ok().then_some(stream)
            });
            let [Some(v4), Some(v6)] = streams else { return None };
            Some(Self([v4, v6]))
        })
    }

    /// Waits until both are reset.
    fn wait_cut(&self) {
        for stream in &self.0 {
            assert_eq!(cut(stream), ErrorKind::ConnectionReset);
        }
    }

    fn goes_on(&self) {
        for stream in &self.0 {
            assert_eq!(Talk::ask(stream, b"goes on").expect("it goes on"), b"goes on");
        }
    }
}

// === impl Scene ===

impl Scene {
    fn start() -> Self {
        let mesh = Mesh::start_secured();
        mesh.lab.manifests().enrolled("other");
        let [client, bystander] = ["mesh/client", "other/bystander"].map(|name| mesh.pod(0, name));
        let [neighbour, server] = ["other/neighbour", "other/server"].map(|name| mesh.pod(1, name));
        let app = server.serve(8080, App::Echo);
        mesh.wait_certified();
        Self {
            client,
            bystander,
            neighbour,
            server,
            _app: app,
            mesh,
        }
    }

    fn tell(&self, arguments: &[&str]) {
        let ca = self.mesh.ca.as_ref().expect("the mesh has a CA");
        let outcome = ca.command(arguments);
        assert_eq!(outcome.code, Some(0), "weft ca {arguments:?}: {}", outcome.stderr);
    }

    /// The serial of the client's certificate.
    fn serial(&self) -> String {
        let shown = self.mesh.agents[0].debug(&["cert", "show"]);
        let rows = shown.as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["uid"] == self.client.uid());
        let serial = row.and_then(|row| row["serial"].as_str());
        serial.expect("the client has a certificate").to_owned()
    }

    /// Denies the client by one of its names: it is cut in time and kept out, `others` go on, and it is let in again.
    fn denied(&self, kind: &str, name: &str, others: &Pod) {
        let kept = Open::new(others, &self.server);
        wait::in_time(LIMIT, || {
            let open = Open::new(&self.client, &self.server);
            let told = Instant::now();
            self.tell(&["deny", kind, name]);
            open.wait_cut();
            let took = told.elapsed();
            for family in Family::BOTH {
                let to = self.server.addresses().at(family, 8080);
                let kept_out = self.client.connect(to).and_then(|stream| Talk::ask(&stream, b"x"));
                kept_out.expect_err("what is denied is kept out");
                told_why(&self.mesh.agents[1], "identity_denied", family);
            }
            self.tell(&["allow", kind, name]);
            took
        });
        kept.goes_on();
        Open::new(&self.client, &self.server).goes_on();
    }
}

#[test]
fn a_connection_on_one_node_that_a_policy_forbids_ends_within_a_second() {
    let mesh = Single::start();
    let [client, server] = ["mesh/client", "mesh/server"].map(|name| mesh.pod(name));
    let _app = server.serve(8080, App::Echo);
    wait::in_time(LIMIT, || {
        let open = Open::new(&client, &server);
        let changed = Instant::now();
        mesh.apply(&deny_client());
        open.wait_cut();
        let took = changed.elapsed();
        mesh.lab.manifests().delete(&deny_client());
        took
    });
    for family in Family::BOTH {
        told_why(&mesh.agent, "policy_denied", family);
    }
}

#[test]
fn a_connection_between_nodes_that_a_policy_forbids_ends_within_a_second() {
    let scene = Scene::start();
    // The policy lies in the server's namespace: a change there is nothing to the bystander.
    let deny = Object::new(json!({
        "apiVersion": "mesh.weft.dev/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": { "namespace": "other", "name": "deny-client" },
        "spec": { "action": "DENY", "rules": [{ "from": [{ "podLabels": { "app": "client" } }] }] },
    }));
    let kept = Open::new(&scene.bystander, &scene.server);
    wait::in_time(LIMIT, || {
        let open = Open::new(&scene.client, &scene.server);
        let changed = Instant::now();
        scene.mesh.apply(&deny);
        open.wait_cut();
        let took = changed.elapsed();
        scene.mesh.lab.manifests().delete(&deny);
        took
    });
    for family in Family::BOTH {
        told_why(&scene.mesh.agents[1], "policy_denied", family);
    }
    kept.goes_on();
}

#[test]
fn a_pod_that_is_denied_by_its_uid_is_cut_within_a_second() {
    let scene = Scene::start();
    scene.denied("--pod", scene.client.uid(), &scene.bystander);
}

#[test]
fn an_identity_that_is_denied_is_cut_within_a_second_and_others_of_its_node_go_on() {
    let scene = Scene::start();
    scene.denied(
        "--identity",
        "spiffe://cluster.local/ns/mesh/sa/default",
        &scene.bystander,
    );
}

#[test]
fn a_certificate_that_is_denied_by_its_serial_is_cut_within_a_second() {
    let scene = Scene::start();
    scene.denied("--serial", &scene.serial(), &scene.bystander);
}

#[test]
fn a_node_that_is_denied_is_cut_within_a_second_and_the_pods_of_another_go_on() {
    let scene = Scene::start();
    scene.denied("--node", scene.mesh.nodes[0].name(), &scene.neighbour);
}

/// Waits until the agent has told this reason of a connection that had its first word.
fn told_why(agent: &Agent, reason: &str, family: Family) {
    agent.record(reason, |record| {
        record["reason"] == reason && record["bytes_sent"] == TEXT.len() && is_of(record, family)
    });
}

fn deny_client() -> Object {
    authorization(
        "deny-client",
        json!({ "action": "DENY", "rules": [{ "from": [{ "podLabels": { "app": "client" } }] }] }),
    )
}

/// What the mesh promises.
const LIMIT: Duration = Duration::from_secs(1);
/// An agent that was sent away comes back after some pauses.
const PATIENCE: Duration = Duration::from_secs(60);

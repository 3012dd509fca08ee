//! Clients of gRPC, grpcurl in Go and grpcio in Python, and a service of grpcio.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use harness::{Outcome, Peer, or_skip};
use serde_json::Value;

use super::*;

/// The health service in a pod. Dropped, it is killed.
struct Health {
    process: Child,
    says: Receiver<String>,
}

/// The service `mesh/web`, which is a health service, and its client.
struct Calls {
    client: Pod,
    health: Health,
    _server: Pod,
    mesh: Mesh,
}

// === impl Health ===

impl Health {
    fn start(python: &Tool, pod: &Pod) -> Self {
        let mut command = python.command(&[HEALTH]);
        command.stdout(Stdio::piped());
        let mut process = pod.run(|| command.spawn()).expect("Python runs");
        let (said, says) = mpsc::channel();
        let printed = BufReader::new(process.stdout.take().expect("it is piped"));
        thread::spawn(move || {
            printed
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| said.send(line))
        });
        let health = Self { process, says };
        health.expect("ready");
        health
    }

    /// Waits until it says this next.
    fn expect(&self, words: &str) {
        assert_eq!(self.says.recv_timeout(wait::PATIENCE).as_deref(), Ok(words));
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        // One that has ended is nobody's to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the work on one node and on two, in both families, with the address of a health service.
fn calls_everywhere(python: &Tool, mut work: impl FnMut(&Calls, &str)) {
    for node in [0, 1] {
        let mesh = Mesh::start_secured();
        let [client, server] =
            [(0, "client"), (node, "web")].map(|(node, name)| mesh.pod(node, &format!("mesh/{name}")));
        let health = Health::start(python, &server);
        mesh.apply(&Object::service("mesh/web", Web::SERVICE, "web").port("grpc", 80, 8080));
        mesh.wait_certified();
        let calls = Calls {
            client,
            health,
            _server: server,
            mesh,
        };
        for family in Family::BOTH {
            work(&calls, &Web::SERVICE.at(family, 80).to_string());
        }
    }
}

/// A route by which `Check` is served, `Watch` has no backend and no other method a rule.
fn health_route() -> Object {
    let to = |method: &str, backend: &str| {
        json!({
            "matches": [{ "method": { "service": "grpc.health.v1.Health", "method": method } }],
            "backendRefs": [{ "name": backend, "port": 80 }],
        })
    };
    route_of(
        "GRPCRoute",
        "mesh/web",
        json!([to("Check", "web"), to("Watch", "nowhere")]),
    )
}

#[test]
fn grpcurl_calls_through_the_mesh_and_is_refused_in_grpcs_own_words() {
    let (grpcurl, python) = (or_skip!(Peer::Grpcurl.tool()), or_skip!(Peer::Python.tool()));
    calls_everywhere(&python, |calls, at| {
        let call = |method: &str, service: &str| {
            let asked = json!({ "service": service }).to_string();
            let method = format!("grpc.health.v1.Health/{method}");
            let always = [
                "-plaintext",
                "-max-time",
                "30",
                "-import-path",
                FOLDER,
                "-proto",
                "health.proto",
            ];
            grpcurl.run(&calls.client, &[&always[..], &["-d", &asked, at, &method]].concat())
        };
        // It ends with the status and this above it.
        let failed = |outcome: &Outcome, code: i32, name: &str, message: &str| {
            outcome.code == Some(64 + code)
                && outcome.stderr.contains(&format!("Code: {name}\n"))
                && outcome.stderr.contains(&format!("Message: {message}\n"))
        };
        let serves = || call("Check", "").code == Some(0);
        wait::until(wait::PATIENCE, "the service is served", serves);
        assert_eq!(messages(&call("Check", "")), ["SERVING"]);
        let watched = messages(&call("Watch", "5"));
        assert_eq!(watched, ["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING", "SERVING"]);
        let unknown = call("Check", "unknown");
        assert!(failed(&unknown, 5, "NotFound", "no such service"), "{unknown:?}");

        denied(&calls.mesh, || {
            wait::until(wait::PATIENCE, "the policy holds", || {
                failed(&call("Check", ""), 7, "PermissionDenied", "policy_denied")
            });
            let watched = call("Watch", "5");
            assert!(failed(&watched, 7, "PermissionDenied", "policy_denied"), "{watched:?}");
        });
        wait::until(wait::PATIENCE, "the policy is gone", serves);

        calls.mesh.apply(&health_route());
        wait::until(wait::PATIENCE, "the route holds", || {
            failed(&call("Watch", "5"), 14, "Unavailable", "backend_not_resolved")
        });
        assert!(serves());
        calls.mesh.lab.manifests().delete(&health_route());
        wait::until(wait::PATIENCE, "the route is gone", || {
            call("Watch", "5").code == Some(0)
        });
    });
}

#[test]
fn pythons_grpcio_has_messages_statuses_details_and_deadlines_as_without_a_mesh() {
    let python = or_skip!(Peer::Python.tool());
    calls_everywhere(&python, |calls, at| {
        let call = |asked: Value| -> Vec<Value> {
            let outcome = python.run(&calls.client, &[CALLS, at, &asked.to_string()]);
            serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}"))
        };
        let failed = |code: &str, details: &str, trailers: Value| json!({ "code": code, "details": details, "messages": [], "trailers": trailers });
        let good = |messages: &[&str]| json!({ "code": "OK", "details": "", "messages": messages, "trailers": {} });
        let check = || call(json!([["Check", "", 30]])).remove(0);
        let well = good(&["0801"]);
        wait::until(wait::PATIENCE, "the service is served", || check() == well);
        let all = call(json!([
            ["Check", "", 30],
            ["Watch", "1000", 30],
            ["Watch", "0", 30],
            ["Check", "unknown", 30],
            ["Check", "late", 0.5],
            ["Check", "", 30],
        ]));
        let told = json!({ "grpc-status-details-bin": "0805120f6e6f20737563682073657276696365", "told-by": "web" });
        assert_eq!(
            all[..4],
            [
                well.clone(),
                good(&["0801", "0802"].repeat(500)),
                good(&[]),
                failed("NOT_FOUND", "no such service", told),
            ]
        );
        assert_eq!((&all[4]["code"], &all[5]), (&json!("DEADLINE_EXCEEDED"), &well));
        // Not only its client knows.
        calls.health.expect("gone");

        denied(&calls.mesh, || {
            let refused = failed("PERMISSION_DENIED", "policy_denied", json!({}));
            let same = |it: &Value| (&it["code"], &it["details"]) == (&refused["code"], &refused["details"]);
            wait::until(wait::PATIENCE, "the policy holds", || same(&check()));
            assert!(same(&call(json!([["Watch", "5", 30]]))[0]));
        });
        wait::until(wait::PATIENCE, "the policy is gone", || check() == well);
    });
}

/// The statuses in what grpcurl printed: a JSON document for each message.
fn messages(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let documents = serde_json::Deserializer::from_str(&outcome.stdout).into_iter::<Value>();
    documents
        .map(|document| document.unwrap()["status"].as_str().unwrap().to_owned())
        .collect()
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
const HEALTH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/health.py");
const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/calls.py");

//! Clients that others wrote, through the mesh: on one node and between two, over both families.

mod curl;
mod grpc;
mod h2load;
mod web_socket;

use std::net::TcpStream;

use harness::{Answer, App, Family, Object, Pod, Tool, wait};
use serde_json::json;

use crate::{
    mesh::{Mesh, Web},
    policy::authorization,
    routes::route_of,
};

/// Runs the work for an application of HTTP and its client, which it has served: on one node and on two, in both families.
/// The work gets the service's address and port, as in a URL.
fn everywhere(app: App, served: impl Fn(TcpStream) -> bool, mut work: impl FnMut(&Web, &str)) {
    for node in [0, 1] {
        let web = Web::start(node, "http", app, &served);
        for family in Family::BOTH {
            work(&web, &Web::SERVICE.at(family, 80).to_string());
        }
    }
}

fn echoes(stream: TcpStream) -> bool {
    Answer::to(&stream, "/ready", "").is_some_and(|answer| answer.body == "web")
}

/// Runs the work while a policy forbids all that comes from the namespace `mesh`.
fn denied(mesh: &Mesh, work: impl FnOnce()) {
    let rules = json!([{ "from": [{ "source": { "namespaces": ["mesh"] } }] }]);
    let deny = authorization("deny", json!({ "action": "DENY", "rules": rules }));
    mesh.apply(&deny);
    work();
    mesh.lab.manifests().delete(&deny);
}

/// Runs a client until it says such a thing: what the agents are told they know a moment later.
fn until_said(tool: &Tool, pod: &Pod, arguments: &[&str], such: impl Fn(&str) -> bool) {
    wait::until(wait::PATIENCE, format!("{arguments:?}"), || {
        such(&tool.run(pod, arguments).stdout)
    });
}

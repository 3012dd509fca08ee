//! TCPRoutes of the Gateway API between real agents: each new connection goes where the rule says.

use harness::{Addresses, App, Family, Object, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::Mesh;

#[test]
fn connections_go_to_a_tcp_routes_backends_and_those_for_a_missing_one_are_refused() {
    let mesh = Mesh::start_secured();
    let client = mesh.pod(0, "mesh/client");
    let servers = [(0, "web", WEB), (1, "canary", CANARY)].map(|(node, name, addresses)| {
        let service = Object::service(&format!("mesh/{name}"), addresses, name);
        mesh.serve(node, &service.port("tcp", 9000, 8080), App::Banner)
    });
    mesh.wait_certified();
    let open = |family: Family| {
        let stream = client.connect(WEB.at(family, 9000)).ok()?;
        let server = Talk::line(&stream).ok()?;
        Some((stream, server))
    };
    let all_by = |name: &str| {
        Family::BOTH.into_iter().all(|family| {
            let mut answers = (0..CONNECTIONS).map(|_| open(family));
            answers.all(|answer| answer.is_some_and(|(_, server)| server == name))
        })
    };
    wait::until(wait::PATIENCE, "the Service's own endpoint serves", || all_by("web"));
    let backend = |name: &str, weight: u32| json!({ "name": name, "port": 9000, "weight": weight });
    mesh.apply(&tcp_route(json!([backend("web", 0), backend("canary", 1)])));
    wait::until(wait::PATIENCE, "the route's backend serves", || all_by("canary"));
    let kept = Family::BOTH.map(|family| open(family).expect("a connection").0);
    for family in Family::BOTH {
        drop(open(family));
        mesh.agents[0].record("a connection by the route", |record| {
            record["destination_pod"] == "mesh/canary"
                && record["service"] == "mesh/web"
                && record["security"] == "mutual_tls"
                && record["route"] == "TCPRoute mesh/web/0"
                && crate::policy::is_of(record, family)
        });
    }

    mesh.apply(&tcp_route(json!([backend("web", 1), backend("canary", 1)])));
    wait::until(wait::PATIENCE, "both serve", || {
        ["web", "canary"].into_iter().all(|name| {
            Family::BOTH
                .into_iter()
                .all(|family| open(family).is_some_and(|(_, server)| server == name))
        })
    });

    mesh.apply(&tcp_route(json!([backend("nowhere", 1)])));
    wait::until(wait::PATIENCE, "all are refused", || {
        Family::BOTH.into_iter().all(|family| open(family).is_none())
    });
    for family in Family::BOTH {
        mesh.agents[0].record("a connection without a backend", |record| {
            record["reason"] == "backend_not_resolved"
                && record["service"] == "mesh/web"
                && crate::policy::is_of(record, family)
        });
    }
    let refused = [r#"reason="backend_not_resolved""#];
    assert!(mesh.agents[0].metric("weft_connections_closed_total", &refused) >= 2.0);
    for stream in &kept {
        assert_eq!(Talk::ask(stream, b"still").unwrap(), b"still");
    }
    drop(servers);
}

fn tcp_route(backends: Value) -> Object {
    let parent = json!({ "group": "", "kind": "Service", "name": "web", "port": 9000 });
    Object::route("TCPRoute", "mesh/web", parent, json!([{ "backendRefs": backends }]))
}

const WEB: Addresses = Addresses::service(10);
const CANARY: Addresses = Addresses::service(11);
const CONNECTIONS: usize = 5;

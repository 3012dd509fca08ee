//! HTTP/2 and gRPC between real agents: in one pass on a node, and in the client's version between nodes.

use harness::{App, Family, Http2, Http2Answer, wait};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{
    mesh::Web,
    policy::{authorization, is_of},
    routes::route_of,
};

fn web(node: usize) -> Web {
    Web::start(node, "grpc", App::Http2Mirror, |stream| {
        let answer = Http2::open(stream).and_then(|client| ask(&client, "/ready", "text/plain"));
        answer.is_some_and(|answer| answer.status == 200)
    })
}

fn connect(web: &Web, family: Family) -> Http2 {
    Http2::open(web.connect(family).unwrap()).unwrap()
}

/// A record of a request that one of the agents wrote.
fn request(web: &Web, agent: usize, family: Family, such: impl Fn(&Value) -> bool) -> Value {
    web.mesh.agents[agent].record("a request", |record| {
        record["protocol"] == "HTTP/2" && is_of(record, family) && such(record)
    })
}

/// Asks with headers that only an agent may write.
fn ask(client: &Http2, path: &str, content_type: &str) -> Option<Http2Answer> {
    let forged = [
        ("weft-stream", "forged"),
        ("x-forwarded-client-cert", "URI=spiffe://forged"),
    ];
    client.post(path, content_type, &forged)
}

#[test]
fn a_websocket_has_a_stream_beside_other_requests() {
    for node in [0, 1] {
        let web = web(node);
        for family in Family::BOTH {
            let client = connect(&web, family);
            let long = "long ".repeat(100_000);
            let heard = client.chat(&["one", &long, "three"]).unwrap();
            assert_eq!(heard, ["one", &long, "three"].map(|text| format!("web {text}")));
            assert_eq!(ask(&client, "/", "text/plain").unwrap().status, StatusCode::OK);
            request(&web, 0, family, |record| {
                record["status"] == 101 && record["path"] == "/chat"
            });
        }
    }
}

#[test]
fn requests_pass_in_the_clients_version_on_one_connection_and_the_application_is_told_who_asks() {
    for node in [0, 1] {
        let web = web(node);
        for family in Family::BOTH {
            let client = connect(&web, family);
            let accepted = web.app.accepted();
            for _ in 0..20 {
                let answer = ask(&client, "/shop.Cart/Add", "application/grpc").unwrap();
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(answer.headers["content-type"], "application/grpc");
                assert_eq!(answer.trailers["grpc-status"], "0");
                assert!(
                    answer.body.starts_with("POST http://web/shop.Cart/Add\n"),
                    "{}",
                    answer.body
                );
                assert!(
                    answer.body.contains("URI=spiffe://cluster.local/ns/mesh/sa/default\n"),
                    "{}",
                    answer.body
                );
                assert!(
                    !answer.body.contains("forged") && !answer.body.contains("weft-"),
                    "{}",
                    answer.body
                );
            }
            // A connection that waited for too long is replaced.
            assert!(web.app.accepted() - accepted <= 1);
            let of_agents: &[(usize, &str, &str)] = match node {
                0 => &[(0, "local", "same_node")],
                _ => &[(0, "outbound", "mutual_tls"), (1, "inbound", "mutual_tls")],
            };
            for (agent, direction, security) in of_agents {
                let record = request(&web, *agent, family, |record| record["path"] == "/shop.Cart/Add");
                assert_eq!(
                    (&record["direction"], &record["security"]),
                    (&json!(direction), &json!(security))
                );
                assert_eq!(
                    (&record["status"], &record["service"]),
                    (&json!(200), &json!("mesh/web"))
                );
            }
        }
    }
}

#[test]
fn a_policy_that_forbids_a_client_is_told_in_http_and_in_grpc_and_ends_no_connection() {
    for node in [0, 1] {
        let web = web(node);
        for family in Family::BOTH {
            let client = connect(&web, family);
            let first = ask(&client, "/words", "text/plain").unwrap();
            assert_eq!(first.status, StatusCode::OK, "{:?}", first.headers);
            let deny = authorization(
                "deny",
                json!({ "action": "DENY", "rules": [{ "from": [{ "source": { "namespaces": ["mesh"] } }] }] }),
            );
            web.mesh.apply(&deny);
            let mut refused = None;
            wait::until(wait::PATIENCE, "the policy holds", || {
                refused = ask(&client, "/words", "text/plain").filter(|answer| answer.status == 403);
                refused.is_some()
            });
            let refused = refused.unwrap();
            assert_eq!(refused.body, "weft: policy_denied\n");
            assert_eq!(refused.headers["x-weft-reason"], "policy_denied");
            let refused = ask(&client, "/shop.Cart/Add", "application/grpc").unwrap();
            assert_eq!((refused.status, refused.body.as_str()), (StatusCode::OK, ""));
            assert_eq!(refused.headers["grpc-status"], "7");
            assert_eq!(refused.headers["grpc-message"], "policy_denied");
            request(&web, 0, family, |record| {
                record["reason"] == "policy_denied" && record["path"] == "/shop.Cart/Add"
            });
            web.mesh.lab.manifests().delete(&deny);
            wait::until(wait::PATIENCE, "the policy is gone", || {
                ask(&client, "/words", "text/plain").is_some_and(|answer| answer.status == 200)
            });
        }
    }
}

#[test]
fn calls_of_grpc_go_where_their_route_says_and_none_is_unimplemented() {
    let web = web(1);
    let rules = json!([
                {
                    "matches": [{ "method": { "service": "shop.Cart", "method": "Add" } }],
                    "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": {
                        "set": [{ "name": "x-rule", "value": "cart" }] } }],
                    "backendRefs": [{ "name": "web", "port": 80 }],
                },
                {
                    "matches": [{ "method": { "service": "shop.Nowhere" } }],
                    "backendRefs": [{ "name": "nowhere", "port": 80 }],
                },
    ]);
    web.mesh.apply(&route_of("GRPCRoute", "mesh/web", rules));
    for family in Family::BOTH {
        let client = connect(&web, family);
        let mut routed = None;
        wait::until(wait::PATIENCE, "the route holds", || {
            routed = ask(&client, "/shop.Cart/Add", "application/grpc")
                .filter(|answer| answer.body.contains("x-rule: cart\n"));
            routed.is_some()
        });
        assert_eq!(routed.unwrap().trailers["grpc-status"], "0");
        for (path, status, reason) in [
            ("/shop.Cart/Remove", "12", "no_route"),
            ("/shop.Nowhere/Go", "14", "backend_not_resolved"),
        ] {
            let refused = ask(&client, path, "application/grpc").unwrap();
            assert_eq!(refused.headers["grpc-status"], status, "{path}");
            assert_eq!(refused.headers["grpc-message"], reason, "{path}");
        }
    }
}

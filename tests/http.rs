//! HTTP between real agents: in one pass on a node, and in the client's version between nodes.

use std::net::TcpStream;

use harness::{Addresses, Answer, App, Family, Object, Sniffer, Talk, WebSocket, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{Web, wait_captured},
    policy::{authorization, is_of},
};

fn web(node: usize) -> Web {
    Web::start(node, "http", App::HttpMirror, |stream| {
        ask(&stream).is_some_and(|answer| answer.status == 200)
    })
}

/// A record of a request that one of the agents wrote.
fn request(web: &Web, agent: usize, family: Family, such: impl Fn(&Value) -> bool) -> Value {
    web.mesh.agents[agent].record("a request", |record| {
        record["method"] == "GET" && is_of(record, family) && such(record)
    })
}

/// What an application was told of its client.
fn certificate(request: &str) -> Option<&str> {
    let fields = request.lines().filter_map(|line| line.split_once(": "));
    let mut told = fields.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-client-cert"));
    told.next().map(|(_, value)| value)
}

fn ask(stream: &TcpStream) -> Option<Answer> {
    let forged = "X-Forwarded-Client-Cert: URI=spiffe://forged\r\nWeft-Stream: forged\r\n";
    Answer::to(stream, "/words", &format!("{forged}X-Mixed: {SECRET}\r\n"))
}

#[test]
fn requests_between_nodes_pass_in_mutual_tls_on_one_connection_and_the_application_is_told_who_asks() {
    let web = web(1);
    for family in Family::BOTH {
        let stream = web.connect(family).unwrap();
        let address = web.server.addresses().at(family, 8080);
        let sniffers = [&web.client, &web.server].map(|pod| Sniffer::looking_for(pod.netns(), "eth0", SECRET));
        let (accepted, handshakes) = (web.app.accepted(), || {
            web.mesh.agents[0].metric("weft_tls_handshakes_total", &["side=\"client\""])
        });
        let before = handshakes();
        for _ in 0..20 {
            let answer = ask(&stream).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.head);
            let told = certificate(&answer.body).unwrap();
            let own = "spiffe://cluster.local/ns/mesh/sa/default";
            let hash = told.strip_prefix(&format!("By={own};Hash="));
            let hash = hash.and_then(|rest| rest.strip_suffix(&format!(";URI={own}"))).unwrap();
            assert!(
                hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()),
                "{told}"
            );
            assert!(answer.body.contains("X-Mixed: "), "{}", answer.body);
            assert!(!answer.body.contains("forged") && !answer.body.to_lowercase().contains("weft-"));
        }
        assert!(handshakes() - before <= 1.0 && web.app.accepted() - accepted <= 1);
        let own = web.client.addresses().of(family);
        assert!(
            web.app.peers().iter().any(|peer| peer.ip() == own),
            "{:?}",
            web.app.peers()
        );
        for (agent, direction) in [(0, "outbound"), (1, "inbound")] {
            let record = request(&web, agent, family, |record| record["status"] == 200);
            assert_eq!(record["security"], "mutual_tls");
            assert_eq!(record["direction"], direction);
            assert_eq!(record["service"], "mesh/web");
            assert_eq!(record["source_pod"], "mesh/client");
            assert_eq!(record["path"], "/words");
            assert_eq!(record["destination"], address.to_string());
        }
        let connection = web.mesh.agents[0].record("the client's connection", |record| {
            record.get("method").is_none() && record["service"] == "mesh/web" && is_of(record, family)
        });
        assert_eq!(
            (&connection["security"], &connection["destination"]),
            (&Value::Null, &Value::Null)
        );
        for sniffer in sniffers {
            let to_port = |packet: &harness::Packet| packet.destination == address && packet.payload > 0;
            wait::until(wait::PATIENCE, "bytes on the original port", || {
                sniffer.count(to_port) > 0
            });
            assert_eq!(sniffer.told(), 0, "{:?}", sniffer.packets());
        }
    }
}

#[test]
fn requests_on_one_node_pass_in_one_pass_and_the_application_is_told_who_asks() {
    let web = web(0);
    for family in Family::BOTH {
        let answer = ask(&web.connect(family).unwrap()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(
            answer.body.contains("URI=spiffe://cluster.local/ns/mesh/sa/default"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("forged"), "{}", answer.body);
        let own = web.client.addresses().of(family);
        assert!(
            web.app.peers().iter().any(|peer| peer.ip() == own),
            "{:?}",
            web.app.peers()
        );
        let record = request(&web, 0, family, |record| record["status"] == 200);
        assert_eq!(
            (&record["direction"], &record["security"]),
            (&json!("local"), &json!("same_node"))
        );
    }
}

#[test]
fn a_request_that_no_application_takes_goes_to_another_endpoint_of_the_far_node_while_there_is_one() {
    let web = web(1);
    let node = &web.mesh.nodes[1];
    let silent = node.pod("mesh/silent").label("app", "web").start();
    wait_captured(node, &silent);
    web.mesh.wait_certified();
    let address = silent.addresses().at(Family::V4, 8080).to_string();
    wait::until(wait::PATIENCE, "one was refused, and nobody was told", || {
        let answer = web.connect(Family::V4).ok().and_then(|stream| ask(&stream));
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        let records = web.mesh.agents[1].records();
        let mut of_silent = records
            .iter()
            .filter(|record| record["destination"] == address.as_str());
        of_silent.any(|record| record["method"] == "GET" && record["reason"] == "upstream_refused")
    });
    let Web { app, client, .. } = web;
    drop(app);
    let stream = client.connect(Web::SERVICE.at(Family::V4, 80)).unwrap();
    let answer = ask(&stream).unwrap();
    assert_eq!(
        (answer.status, answer.header("x-weft-reason")),
        (503, Some("upstream_refused"))
    );
}

#[test]
fn a_policy_that_forbids_a_client_is_told_to_it_and_holds_on_connections_that_stand() {
    for node in [0, 1] {
        let web = web(node);
        for family in Family::BOTH {
            let stream = web.connect(family).unwrap();
            assert_eq!(ask(&stream).unwrap().status, 200);
            let deny = authorization(
                "deny",
                json!({ "action": "DENY", "rules": [{ "from": [{ "source": { "namespaces": ["mesh"] } }] }] }),
            );
            web.mesh.apply(&deny);
            let mut refused = None;
            wait::until(wait::PATIENCE, "the policy holds", || {
                refused = ask(&stream).filter(|answer| answer.status == 403);
                refused.is_some()
            });
            let refused = refused.unwrap();
            assert_eq!(refused.body, "weft: policy_denied\n");
            assert!(
                refused.head.contains("x-weft-reason: policy_denied"),
                "{}",
                refused.head
            );
            request(&web, 0, family, |record| {
                record["reason"] == "policy_denied" && record["status"] == 403
            });
            web.mesh.lab.manifests().delete(&deny);
            wait::until(wait::PATIENCE, "the policy is gone", || {
                ask(&stream).is_some_and(|answer| answer.status == 200)
            });
        }
    }
}

#[test]
fn who_is_not_in_the_mesh_passes_as_http_too_and_is_not_believed() {
    let web = web(1);
    let stranger = web.mesh.plain(0, "stranger");
    for family in Family::BOTH {
        let answer = ask(&stranger.connect(web.server.addresses().at(family, 8080)).unwrap()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(
            !answer.body.to_lowercase().contains("x-forwarded-client-cert"),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("forged"), "{}", answer.body);
        let record = request(&web, 1, family, |record| record["security"] == "plaintext");
        assert_eq!(record["status"], 200);
    }
}

#[test]
fn what_is_sent_as_bytes_to_a_port_of_requests_is_served_as_requests_and_is_not_believed() {
    for node in [0, 1] {
        let web = web(node);
        let _echo = web.server.serve(8081, App::Echo);
        // By this name both ports are of bytes: the client's agent looks into nothing.
        let bytes = Object::service("mesh/bytes", BYTES, "web");
        web.mesh.apply(&bytes.port("tcp", 80, 8080).port("tcp-echo", 81, 8081));
        for family in Family::BOTH {
            let mut answer = None;
            wait::until(wait::PATIENCE, "the service is served", || {
                let stream = web.client.connect(BYTES.at(family, 80)).ok();
                answer = stream.and_then(|stream| Some([ask(&stream)?, ask(&stream)?]));
                answer.is_some()
            });
            for Answer { status, head, body } in answer.unwrap() {
                assert_eq!(status, 200, "{head}");
                assert!(
                    !body.contains("forged") && !body.to_lowercase().contains("weft-"),
                    "{body}"
                );
                assert!(body.contains("URI=spiffe://cluster.local/ns/mesh/sa/default"), "{body}");
            }
            let record = request(&web, node, family, |record| record["service"] == "mesh/bytes");
            assert_eq!((&record["status"], &record["path"]), (&json!(200), &json!("/words")));
            let raw = b"GET / HTTP/1.1\r\nX-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n";
            let stream = web.client.connect(BYTES.at(family, 81)).unwrap();
            assert_eq!(Talk::ask(&stream, raw).unwrap(), raw, "bytes stay bytes elsewhere");
        }
    }
}

#[test]
fn a_websocket_carries_texts_both_ways_for_as_long_as_both_like_and_a_server_that_speaks_none_says_so() {
    for node in [0, 1] {
        let web = web(node);
        let _chat = web.server.serve(8081, App::WebSocket);
        for family in Family::BOTH {
            let mirror = web.connect(family).unwrap();
            assert!(WebSocket::open(mirror).is_err_and(|error| error.contains("200")));
            let to = web.server.addresses().at(family, 8081);
            let mut socket = WebSocket::open(web.client.connect(to).unwrap()).unwrap();
            for text in ["one", &"long ".repeat(100_000), "three"] {
                assert_eq!(socket.say(text).unwrap(), format!("web {text}"));
            }
            socket.close().unwrap();
            request(&web, 0, family, |record| record["status"] == 101);
        }
    }
}

const BYTES: Addresses = Addresses::service(11);
/// What nobody on the wire may read.
const SECRET: &str = "nobody reads these words";

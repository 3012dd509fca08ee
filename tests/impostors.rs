//! Peers that are not what they should be: without mutual TLS, without rules, with another's name, with forged words.

use harness::{App, Family, Object, Talk, wait};
use serde_json::{Value, json};

use crate::{
    mesh::Mesh,
    mtls::{Pair, TEXT},
    policy::{is_of, strict},
};

#[test]
fn a_peer_that_must_speak_mutual_tls_and_does_not_is_refused() {
    let pair = Pair::start();
    let outside = pair.mesh.nodes[1]
        .pod("mesh/outside")
        .label("weft.dev/mesh", "disabled")
        .start();
    let _app = outside.serve(8080, App::Echo);
    let talk = |family| {
        let stream = pair.client.connect(outside.addresses().at(family, 8080))?;
        Talk::ask(&stream, b"hello")
    };
    // A service tells whose address it is.
    pair.mesh
        .apply(&Object::headless("mesh/outside", "outside").port("", 8080, 8080));
    for family in Family::BOTH {
        assert_eq!(talk(family).unwrap(), b"hello", "permissive");
    }
    pair.mesh.apply(&strict("mesh"));
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "plaintext is refused", || talk(family).is_err());
        pair.record(family, |record| record["reason"] == "peer_not_in_mesh");
    }
}

#[test]
fn a_slice_that_names_another_pod_than_the_one_behind_its_address_is_not_believed() {
    let pair = Pair::start();
    let other = pair.mesh.pod(1, "mesh/other");
    pair.mesh.lab.manifests().enrolled("borrower");
    // Another pod's UID, and a foreign pod's in a slice that says whose it is, or claims it.
    for (namespace, claimed, uid) in [
        ("mesh", "mesh", other.uid()),
        ("borrower", "borrower", pair.server.uid()),
        ("borrower", "mesh", pair.server.uid()),
    ] {
        for family in Family::BOTH {
            let name = format!("{namespace}/{}", if family == Family::V4 { "four" } else { "six" });
            let virtual_ips = harness::Addresses::service(if namespace == "mesh" { 201 } else { 202 });
            let mut service = Object::service(&name, virtual_ips, "nobody").port("", 80, 8080);
            service.value_mut()["spec"].as_object_mut().unwrap().remove("selector");
            let target = json!({ "kind": "Pod", "name": "server", "namespace": claimed, "uid": uid });
            let fields = json!({ "conditions": { "ready": true }, "targetRef": target });
            let (_, short) = name.split_once('/').unwrap();
            let slice =
                Object::slice(&name, short, &[("", 8080)]).endpoint_with(pair.server.addresses().of(family), fields);
            pair.mesh.apply(&slice);
            pair.mesh.apply(&service);
            let to = virtual_ips.at(family, 80);
            wait::until(wait::PATIENCE, "the service is known and its pod not believed", || {
                let Ok(stream) = pair.client.connect(to) else {
                    return false;
                };
                let refused = Talk::ask(&stream, b"hello").is_err();
                let record = |record: &Value| {
                    record["reason"] == "peer_not_verified" && record["original_destination"] == to.to_string().as_str()
                };
                refused && pair.mesh.agents[0].records().iter().any(record)
            });
            pair.mesh.lab.manifests().delete(&service);
            pair.mesh.lab.manifests().delete(&slice);
        }
    }
}

#[test]
fn an_agents_first_words_reach_no_application_though_nobody_greeted() {
    let pair = Pair::start();
    let stranger = pair.mesh.plain(0, "stranger");
    for family in Family::BOTH {
        let to = pair.to(family);
        let asked = |alpn: &str| {
            let command = format!("openssl s_client -connect {to} -alpn {alpn} -brief </dev/null 2>&1 || true");
            stranger.netns().sh(&command)
        };
        asked("weft-tcp/1");
        pair.mesh.agents[1].record("a refusal", |record| {
            record["reason"] == "protocol_violation" && is_of(record, family)
        });
        // An application's own TLS is its own business: the echo sends it back.
        asked("http/1.1");
        pair.mesh.agents[1].record("what passed", |record| {
            record["reason"].is_null() && record["bytes_sent"].as_u64() > Some(100) && is_of(record, family)
        });
    }
}

#[test]
fn a_pod_that_deletes_its_rules_is_refused_by_a_strict_peer() {
    let pair = Pair::start();
    pair.mesh.apply(&strict("mesh"));
    for family in Family::BOTH {
        assert_eq!(
            pair.talk(family).unwrap(),
            TEXT.as_bytes(),
            "strict pods speak mutual TLS"
        );
    }
    let preference = agent_common::mark::RULE_PREFERENCE;
    pair.client.netns().sh(&format!(
        "ip -4 rule del pref {preference}; ip -6 rule del pref {preference}"
    ));
    for family in Family::BOTH {
        wait::until(wait::PATIENCE, "what passes by the agent is refused", || {
            pair.talk(family).is_err()
                && pair.mesh.agents[1]
                    .records()
                    .iter()
                    .any(|record| record["reason"] == "plaintext_refused" && is_of(record, family))
        });
    }
}

#[test]
fn a_connection_by_a_syn_cookie_hands_no_agents_word_to_an_application() {
    let mesh = Mesh::start_secured();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    mesh.wait_certified();
    server.netns().set("ipv4/tcp_syncookies", "2");
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let stream = client.connect(to).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        drop(stream);
        let record = mesh.agents[1].record("plaintext", |record| is_of(record, family));
        assert_eq!(
            (&record["security"], &record["bytes_sent"]),
            (&"plaintext".into(), &5.into())
        );
    }
    mesh.apply(&strict("mesh"));
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        wait::until(wait::PATIENCE, "a strict server refuses", || {
            let Ok(stream) = client.connect(to) else { return true };
            Talk::ask(&stream, b"hello").is_err()
        });
    }
}

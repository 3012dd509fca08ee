//! Addresses that are nobody's in the model: bytes there, or a refusal.

use std::net::SocketAddr;

use harness::{Addresses, App, Family, Object, Talk, wait};
use serde_json::{Value, json};

use crate::{
    mesh::{Single, records_from},
    services::{ask_some, plain_web, refused, wait_served},
};

#[test]
fn bytes_to_an_unknown_address_arrive_there_as_they_are() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    mesh.node
        .netns()
        .ip("address add 198.51.100.1/32 dev cni0\naddress add 2001:db8::1/128 dev cni0 nodad\n");
    let app = mesh.node.serve(9000, App::Echo);
    let words: Vec<u8> = (0..=255).collect();
    for to in ["198.51.100.1:9000", "[2001:db8::1]:9000"] {
        let stream = client.connect(to.parse().unwrap()).unwrap();
        assert_eq!(Talk::ask(&stream, &words).unwrap(), words);
        assert_eq!(app.seen().last().unwrap().local, to.parse::<SocketAddr>().unwrap());
    }
    wait::until(wait::PATIENCE, "two records", || {
        records_from(&mesh.agent, &client).len() == 2
    });
    assert!(
        records_from(&mesh.agent, &client)
            .iter()
            .all(|record| record["service"] == Value::Null)
    );
}

#[test]
fn egress_deny_refuses_unknown_addresses_and_nothing_else() {
    let mesh = Single::start();
    let client = mesh.pod("mesh/client");
    let server = plain_web(&mesh, "a");
    mesh.apply(&Object::service("plain/web", SERVICE, "web").port("main", 80, 8080));
    mesh.node.netns().ip("address add 198.51.100.1/32 dev cni0\n");
    let _app = mesh.node.serve(9000, App::Who);
    let unknown = "198.51.100.1:9000".parse().unwrap();
    wait_served(&client, unknown);

    mesh.apply(&Object::mesh_config(json!({ "egress": "Deny" })));
    wait::until(wait::PATIENCE, "egress denied", || {
        ask_some(&client, unknown, 1).is_empty()
    });
    refused(&client, unknown);
    wait_served(&client, SERVICE.at(Family::V4, 80));
    mesh.agent.record("the refusal", |record| {
        record["reason"] == "egress_denied" && record["fault"] == "policy"
    });
    drop(server);
}

const SERVICE: Addresses = Addresses::service(10);

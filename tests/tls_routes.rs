//! TLSRoutes of the Gateway API between real agents: the server name of a client's TLS decides, and its bytes pass untouched.

use std::io::Write as _;

use harness::{Addresses, App, Family, Object, Talk, wait};
use serde_json::{Value, json};

use crate::{mesh::Mesh, policy::is_of};

#[test]
fn connections_go_where_the_server_name_says_and_others_are_refused() {
    let mesh = Mesh::start_secured();
    let client = mesh.pod(0, "mesh/client");
    let servers = [(0, "web", WEB), (1, "canary", CANARY)].map(|(node, name, addresses)| {
        let service = Object::service(&format!("mesh/{name}"), addresses, name);
        mesh.serve(node, &service.port("tls", 443, 8443), App::Banner)
    });
    mesh.wait_certified();
    // The banner comes after the hello: whoever decides by it has passed it on.
    let served_by = |family: Family, words: &[u8]| {
        let mut stream = client.connect(WEB.at(family, 443)).ok()?;
        stream.write_all(words).ok()?;
        let server = Talk::line(&stream).ok()?;
        let mut echoed = vec![0; words.len()];
        std::io::Read::read_exact(&mut stream, &mut echoed).ok()?;
        assert_eq!(echoed, words, "untouched");
        Some(server)
    };
    let always = |words: &[u8], expected: Option<&str>| {
        Family::BOTH
            .into_iter()
            .all(|family| served_by(family, words).as_deref() == expected)
    };
    wait::until(wait::PATIENCE, "the Service's own endpoint serves", || {
        always(&hello("x.example"), Some("web"))
    });

    mesh.apply(&tls_route("own", &json!(["a.example"]), "canary"));
    mesh.apply(&tls_route("below", &json!(["*.example"]), "web"));
    wait::until(wait::PATIENCE, "both routes decide", || {
        always(b"no TLS", None) && always(&hello("b.example"), Some("web"))
    });
    for (name, expected) in [
        ("a.example", Some("canary")),
        ("x.b.example", Some("web")),
        ("example", None),
        ("a.test", None),
    ] {
        assert!(always(&hello(name), expected), "{name}");
    }
    let told = |name: &str| {
        let web = format!("https://{}", WEB.v4);
        let asked = [
            "route",
            "test",
            "--from",
            "mesh/client",
            "--to",
            &web,
            "--server-name",
            name,
        ];
        mesh.agents[0].debug(&asked)
    };
    let (chosen, refused) = (told("x.b.example"), told("example"));
    assert_eq!(
        (&chosen["route"], &chosen["matched"]),
        (&"TLSRoute mesh/below".into(), &"server name *.example".into())
    );
    assert_eq!((&refused["route"], &refused["backends"]), (&Value::Null, &json!([])));
    for family in Family::BOTH {
        mesh.agents[0].record("a connection by its server name", |record| {
            record["destination_pod"] == "mesh/canary"
                && record["security"] == "mutual_tls"
                && record["route"] == "TLSRoute mesh/own/0"
                && is_of(record, family)
        });
        mesh.agents[0].record("one that no route is for", |record| {
            record["reason"] == "no_route"
                && record["service"] == "mesh/web"
                && record["route"].is_null()
                && is_of(record, family)
        });
        // Without a route of its own a port is not listened to: the server speaks first.
        let stream = client.connect(CANARY.at(family, 443)).unwrap();
        assert_eq!(Talk::line(stream).unwrap(), "canary");
    }
    drop(servers);
}

fn tls_route(name: &str, servers: &Value, backend: &str) -> Object {
    let parent = json!({ "group": "", "kind": "Service", "name": "web" });
    let rules = json!([{ "backendRefs": [{ "name": backend, "port": 443 }] }]);
    Object::route("TLSRoute", &format!("mesh/{name}"), parent, rules).spec("hostnames", servers.clone())
}

/// A ClientHello with nothing but a server name (RFC 8446, 4.1.2; RFC 6066, 3).
fn hello(server: &str) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let name = [&[0], &counted(server.as_bytes())[..]].concat();
    let extension = [&[0, 0], &counted(&counted(&name))[..]].concat();
    let fields = [&[3; 34][..], &[0, 0, 2, 0x13, 1, 1, 0], &counted(&extension)].concat();
    [&[22, 3, 1][..], &counted(&[&[1, 0], &counted(&fields)[..]].concat())].concat()
}

const WEB: Addresses = Addresses::service(10);
const CANARY: Addresses = Addresses::service(11);

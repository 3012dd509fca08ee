//! A pod that adds bytes of its own to the connections which it sees on its own link.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv6Addr, TcpListener, TcpStream},
};

use harness::{Family, Injector, Pod, wait};
use serde_json::Value;

use crate::mesh::Single;

#[test]
fn bytes_that_a_pod_injects_reach_the_application_where_there_is_no_mesh() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.plain("server"));
    let listener = listen(&server);
    for family in Family::BOTH {
        let to = server.addresses().at(family, PORT);
        let injector = Injector::start(client.netns(), "eth0");
        let mut stream = client.connect(to).unwrap();
        let mut app = accept(&listener);
        stream.write_all(b"hello").unwrap();
        assert_eq!(heard(&mut app, 5), b"hello");
        assert_eq!(injector.inject(|packet| packet.destination == to, INJECTED), 1);
        assert_eq!(heard(&mut app, INJECTED.len()), INJECTED, "{family:?}");
    }
}

#[test]
fn bytes_that_a_pod_injects_end_its_lease_and_never_reach_the_application() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let listener = listen(&server);
    for family in Family::BOTH {
        let to = server.addresses().at(family, PORT);
        let lease = || {
            let shown = mesh.agent.debug(&["conn", "show"]);
            let rows = shown.as_array().cloned().unwrap_or_default();
            let such = |row: &Value| row["phase"] == "leased" && row["destination"] == to.to_string().as_str();
            rows.into_iter().find(such).map(|row| row["id"].clone())
        };
        let injector = Injector::start(client.netns(), "eth0");
        let mut stream = client.connect(to).unwrap();
        let mut app = accept(&listener);
        stream.write_all(b"hello").unwrap();
        assert_eq!(heard(&mut app, 5), b"hello");
        let held = lease();
        assert!(held.is_some(), "a lease is held");
        // All that leaves the pod for there is the lease: nothing of the stream does.
        assert_eq!(injector.inject(|packet| packet.destination == to, INJECTED), 1);
        wait::until(wait::PATIENCE, "the lease ends", || lease() != held);
        stream.write_all(b" goes on").unwrap();
        assert_eq!(heard(&mut app, 8), b" goes on", "{family:?}");
        // The next one asks for a lease of its own, and hears no more of it either.
        let mut next = client.connect(to).unwrap();
        let mut app = accept(&listener);
        next.write_all(b"again").unwrap();
        assert_eq!(heard(&mut app, 5), b"again", "{family:?}");
        drop(next);
        let mut rest = Vec::new();
        app.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "{family:?}");
    }
}

/// An application that writes down all that it hears.
fn listen(server: &Pod) -> TcpListener {
    let listener = server.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)));
    listener.expect("the port is free")
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a client");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
    stream
}

fn heard(app: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    app.read_exact(&mut bytes).expect("the application hears");
    bytes
}

const PORT: u16 = 8080;
const INJECTED: &[u8] = b"these bytes are nobody's";

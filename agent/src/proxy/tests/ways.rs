//! The ways through the node: out, in, and from pod to pod.

use super::*;
use crate::{
    model::{AppProtocol, ObjectName},
    telemetry::Direction,
};

#[test]
fn an_inbound_connection_reaches_the_application_with_the_clients_address() {
    let Some(world) = World::new("inbound", settings()) else {
        return;
    };
    let app = world.app(&format!("127.0.0.1:{}", world.into));

    let mut client = world.connect("127.0.0.1", world.into);
    let (server, seen) = app.accept().unwrap();
    client.write_all(b"hello").unwrap();
    drop(client);

    assert_eq!(seen.ip().to_string(), "127.0.0.1");
    assert!((10_000..32_768).contains(&seen.port()), "{seen}");
    assert_eq!(read_to_end(&server), (b"hello".to_vec(), None));
    drop(server);
    let record = world.record();
    assert_eq!(record["direction"], "inbound");
    assert_eq!(record["destination_pod"], "default/web");
}

#[test]
fn an_application_that_refuses_is_a_reset_to_the_client() {
    let Some(world) = World::new("inbound refused", settings()) else {
        return;
    };

    assert_eq!(
        read_to_end(&world.connect("127.0.0.1", world.into)),
        (Vec::new(), RESET)
    );

    assert_eq!(world.record()["reason"], "upstream_refused");
}

#[test]
fn a_captured_pod_of_this_node_is_reached_in_one_pass_with_the_clients_address() {
    let Some(world) = World::new("local", settings()) else {
        return;
    };
    let app = world.app("127.0.0.9:0");
    let db = mk_pod("db", "127.0.0.9");
    world.capture(db.clone(), Hold::new(()));
    world.change(vec![web(), db], world.api(&[app.local_addr().unwrap()]));

    let _client = world.call();
    let (_server, seen) = app.accept().unwrap();

    assert_eq!(seen.ip().to_string(), "127.0.0.1");
    assert!((10_000..32_768).contains(&seen.port()), "{seen}");
    let connection = eventually(|| world.open().pop());
    assert_eq!(connection.direction, Direction::Local);
    assert_eq!(connection.source_pod.as_deref(), Some("default/web"));
    assert_eq!(connection.destination, Some(app.local_addr().unwrap()));
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let Some(world) = World::new("hairpin", settings()) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    world.serve(&[app.local_addr().unwrap()]);

    let _client = world.call();
    let (_server, seen) = app.accept().unwrap();

    assert_eq!(seen.ip().to_string(), "127.0.0.1");
    let open = eventually(|| world.open().pop());
    assert_eq!(open.direction, Direction::Local);
    assert_eq!(open.source_pod.as_deref(), Some("default/web"));
}

#[test]
fn an_application_that_calls_the_listener_itself_is_refused() {
    let Some(world) = World::new("direct call", settings()) else {
        return;
    };
    let own: SocketAddr = "127.0.0.3:7000".parse().unwrap();
    let listener = world.front.run(|| TcpListener::bind(own)).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let none = || Pair { v4: None, v6: None };
    world.proxy().open(Door {
        pod: Arc::new(mk_pod("curious", "127.0.0.3")),
        netns: world.back.clone(),
        listeners: Listeners {
            outbound: Pair {
                v4: Some(listener),
                ..none()
            },
            inbound: none(),
        },
        hold: Hold::new(()),
    });

    assert_eq!(read_to_end(&world.connect("127.0.0.3", 7000)), (Vec::new(), RESET));

    assert_eq!(world.record()["reason"], "direct_call");
}

#[test]
fn a_pod_of_this_node_whose_port_is_declared_as_http_gets_requests_whatever_is_declared_of_the_way() {
    let Some(world) = World::new("local requests", settings()) else {
        return;
    };
    let app = world.app("127.0.0.9:0");
    let address = app.local_addr().unwrap();
    let db = mk_pod("db", "127.0.0.9");
    world.capture(db.clone(), Hold::new(()));
    let declared = |name: &str, ip, app_protocol| {
        let mut service = world.api(&[address]);
        service.name = ObjectName::new("default", name);
        service.cluster_ips = vec![ip];
        service.ports[0].app_protocol = Some(app_protocol);
        service
    };
    let (api, site) = ([127, 96, 0, 1].into(), [127, 96, 0, 2].into());
    let forged = b"\r\nGET / HTTP/1.1\r\nHost: api\r\nX-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n";
    for of_the_pod in [AppProtocol::Tcp, AppProtocol::Http1] {
        let services = vec![
            declared("api", api, AppProtocol::Tcp),
            declared("site", site, of_the_pod),
        ];
        world
            .mesh
            .send_replace(Arc::new(mk_mesh(vec![web(), db.clone()], services)));
        let mut client = world.call();
        client.write_all(forged).unwrap();
        let (mut server, _) = app.accept().unwrap();
        let mut got = vec![0; forged.len()];
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = server.read(&mut got).unwrap();
        match of_the_pod {
            AppProtocol::Http1 => {
                let head = String::from_utf8_lossy(&got[..length]).into_owned();
                assert!(
                    head.starts_with("GET / HTTP/1.1\r\n") && !head.contains("forged"),
                    "{head}"
                );
            }
            _ => assert_eq!(got[..length], forged[..length], "bytes are bytes"),
        }
    }
}

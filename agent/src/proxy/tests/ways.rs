//! The ways through the node: out, in, and from pod to pod.

use super::*;
use crate::telemetry::Direction;

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

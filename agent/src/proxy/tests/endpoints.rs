//! Who gets the connection.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Affinity, EgressMode, MeshConfig};

#[test]
fn a_refused_upstream_is_a_reset_to_the_client() {
    let Some(world) = World::new("refused", settings()) else {
        return;
    };
    world.serve(&[dead(&world)]);

    assert_eq!(read_to_end(&world.call()), (Vec::new(), RESET));

    let record = world.record();
    assert_eq!(record["reason"], "upstream_refused");
    assert_eq!(record["service"], "default/api");
}

#[test]
fn a_connection_that_is_refused_is_tried_once_elsewhere() {
    let Some(world) = World::new("retry", settings()) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    world.serve(&[dead(&world), app.local_addr().unwrap()]);

    for _ in 0..20 {
        let _client = world.call();
        app.accept().unwrap();
    }

    let records = world.records();
    let served = format!("127.0.0.1:{}", app.local_addr().unwrap().port());
    assert!(
        records.iter().all(|record| record["destination"] == served),
        "{records:?}"
    );
}

#[test]
fn a_service_without_endpoints_a_wrong_port_and_denied_egress_are_refused_by_name() {
    let Some(world) = World::new("refusals", settings()) else {
        return;
    };
    world.serve(&[]);
    assert_eq!(read_to_end(&world.call()), (Vec::new(), RESET));
    assert_eq!(world.record()["reason"], "no_endpoint");

    let mut api = world.api(&[]);
    api.ports[0].port = 1;
    world.change(vec![web()], api.clone());
    assert_eq!(read_to_end(&world.call()), (Vec::new(), RESET));
    assert_eq!(
        eventually(|| world.log.records().into_iter().nth(1))["reason"],
        "no_such_port"
    );

    let mut mesh = mk_mesh(vec![web()], vec![api]);
    mesh.config = MeshConfig {
        egress: EgressMode::Deny,
        ..MeshConfig::default()
    };
    world.mesh.send_replace(Arc::new(mesh));
    assert_eq!(read_to_end(&world.dial("127.0.0.77")), (Vec::new(), RESET));
    assert_eq!(
        eventually(|| world.log.records().into_iter().nth(2))["reason"],
        "egress_denied"
    );
}

#[test]
fn an_unknown_address_is_dialled_as_it_is() {
    let Some(world) = World::new("unknown address", settings()) else {
        return;
    };
    let app = world.app(&format!("127.0.0.77:{}", world.out));

    let _client = world.dial("127.0.0.77");
    let (_, client) = app.accept().unwrap();

    assert_eq!(client.ip().to_string(), "127.0.0.1");
}

#[test]
fn a_change_of_the_mesh_is_seen_by_the_next_connection() {
    let Some(world) = World::new("mesh change", settings()) else {
        return;
    };
    let apps = [world.app("127.0.0.1:0"), world.app("127.0.0.1:0")];
    for app in apps {
        world.serve(&[app.local_addr().unwrap()]);
        let _client = world.call();
        app.accept().unwrap();
    }
}

#[test]
fn two_choices_keep_open_connections_even() {
    let Some(world) = World::new("two choices", settings()) else {
        return;
    };
    let apps: Vec<_> = (0..4).map(|_| world.app("127.0.0.1:0")).collect();
    let addresses: Vec<_> = apps.iter().map(|app| app.local_addr().unwrap()).collect();
    world.serve(&addresses);

    let clients: Vec<_> = (0..80).map(|_| world.call()).collect();
    let open = eventually(|| Some(world.open()).filter(|open| open.len() == clients.len()));

    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for connection in &open {
        *counts.entry(connection.destination).or_default() += 1;
    }
    assert!(counts.values().all(|count| (16..=24).contains(count)), "{counts:?}");
}

#[test]
fn a_client_with_affinity_stays_with_its_endpoint_until_that_fails() {
    let Some(world) = World::new("affinity", settings()) else {
        return;
    };
    let mut apps: Vec<_> = (0..4).map(|_| world.app("127.0.0.1:0")).collect();
    let addresses: Vec<_> = apps.iter().map(|app| app.local_addr().unwrap()).collect();
    let affinity = Some(Affinity {
        timeout: Duration::from_secs(3600),
    });
    let api = Service {
        affinity,
        ..world.api(&addresses)
    };
    world.change(vec![web()], api);

    let destination = || {
        let _client = world.call();
        eventually(|| world.open().pop()).destination.unwrap()
    };
    let first = destination();
    for app in &apps {
        app.set_nonblocking(true).unwrap();
    }
    for _ in 0..10 {
        apps.iter().for_each(|app| drop(app.accept()));
        world.calm();
        assert_eq!(destination(), first);
    }

    apps.retain(|app| app.local_addr().unwrap() != first);
    world.calm();
    let second = destination();
    apps.iter().for_each(|app| drop(app.accept()));
    world.calm();
    assert_ne!(second, first);
    assert_eq!(destination(), second);
}

#[test]
fn ten_dials_to_a_black_hole_take_one_time_out_and_others_none() {
    let Some(world) = World::new("black hole", settings()) else {
        return;
    };
    let (hole, _plugs) = black_hole(&world);
    world.serve(&[hole]);

    let start = Instant::now();
    let clients: Vec<_> = (0..5).map(|_| world.call()).collect();
    thread::sleep(Duration::from_millis(500));
    let late: Vec<_> = (0..5).map(|_| world.call()).collect();
    for client in clients.iter().chain(&late) {
        assert_eq!(read_to_end(client), (Vec::new(), RESET));
    }
    let took = start.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_millis(2400)).contains(&took),
        "{took:?}"
    );

    let app = world.app("127.0.0.1:0");
    world.serve(&[hole, app.local_addr().unwrap()]);
    let start = Instant::now();
    for _ in 0..20 {
        let _client = world.call();
        app.accept().unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "the dead endpoint is picked last"
    );
}

/// An address where nobody listens.
fn dead(world: &World) -> SocketAddr {
    world.app("127.0.0.1:0").local_addr().unwrap()
}

/// An address where nobody answers: a full backlog.
fn black_hole(world: &World) -> (SocketAddr, impl Sized + use<>) {
    let socket = world
        .back
        .run(|| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None));
    let socket = socket.unwrap().unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let hole = socket.local_addr().unwrap().as_socket().unwrap();
    let plug = || {
        world
            .back
            .run(|| TcpStream::connect_timeout(&hole, Duration::from_millis(300)))
    };
    let plugs: Vec<_> = std::iter::repeat_with(|| plug().unwrap())
        .map_while(Result::ok)
        .collect();
    (hole, (socket, plugs))
}

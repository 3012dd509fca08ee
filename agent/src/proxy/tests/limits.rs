//! What happens at the limits: a refusal with a reason, and others go on.

use super::*;
use crate::proxy::{inbound, outbound};

#[test]
fn a_pod_at_its_limit_of_connections_is_refused_and_others_go_on() {
    let settings = Settings {
        max_connections_per_pod: 2,
        ..settings()
    };
    let Some(world) = World::new("connection limit", settings) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    world.serve(&[app.local_addr().unwrap()]);
    let (other, _) = world.capture(mk_pod("other", "127.0.0.9"), Hold::new(()));
    let held: Vec<_> = (0..2).map(|_| (world.call(), app.accept().unwrap())).collect();

    assert_eq!(read_to_end(&world.call()), (Vec::new(), RESET));

    let record = world.record();
    assert_eq!(
        (&record["reason"], &record["fault"]),
        (&"pod_connection_limit".into(), &"policy".into())
    );
    let unknown = world.app(&format!("127.0.0.77:{other}"));
    let _client = world.connect("127.0.0.77", other);
    unknown.accept().unwrap();
    drop(held);
    eventually(|| block_on(world.proxy().connections()).len().eq(&1).then_some(()));
    let _client = world.call();
    app.accept().unwrap();
}

#[test]
fn buffers_are_limited_and_given_back() {
    let settings = Settings {
        max_buffer_per_pod: 100_000,
        ..settings()
    };
    let Some(world) = World::new("buffer limit", settings) else {
        return;
    };
    let stalled: Vec<_> = (0..20).map(|_| world.pair()).collect();

    for (client, _) in &stalled {
        client.set_nonblocking(true).unwrap();
    }
    let chunk = [7; 64 * 1024];
    let refused = eventually(|| {
        for (client, _) in &stalled {
            let mut client = client;
            while client.write(&chunk).is_ok() {}
        }
        world
            .log
            .records()
            .into_iter()
            .find(|record| record["reason"] == "buffer_limit")
    });
    assert_eq!(refused["fault"], "agent");

    drop(stalled);
    let (mut client, server) = world.pair();
    client.write_all(b"room again").unwrap();
    drop(client);
    assert_eq!(read_to_end(&server), (b"room again".to_vec(), None));
}

#[test]
fn an_open_connection_takes_little_room() {
    assert!(
        size_of_future(outbound::serve) <= 1024,
        "{}",
        size_of_future(outbound::serve)
    );
    assert!(
        size_of_future(inbound::serve) <= 1216,
        "{}",
        size_of_future(inbound::serve)
    );
}

fn size_of_future<A, B, F: Future>(_: fn(A, B) -> F) -> usize {
    size_of::<F>()
}

//! How connections, pods and the proxy end.

use super::*;

#[test]
fn a_killed_connection_is_reset_on_both_sides_and_others_go_on() {
    let Some(world) = World::new("kill", settings()) else {
        return;
    };
    let (killed, killed_server) = world.pair();
    let (mut other, other_server) = world.pair();
    let open = world.open();

    assert!(block_on(world.proxy().kill(open[0].id)));

    assert_eq!(read_to_end(&killed), (Vec::new(), RESET));
    eventually(|| (!block_on(world.proxy().kill(open[0].id))).then_some(()));
    assert_eq!(read_to_end(&killed_server), (Vec::new(), RESET));
    assert_eq!(world.record()["reason"], "killed");
    other.write_all(b"still here").unwrap();
    drop(other);
    assert_eq!(read_to_end(&other_server), (b"still here".to_vec(), None));
}

#[test]
fn a_pod_that_leaves_keeps_its_connections_and_their_hold() {
    let Some(world) = World::new("leave", settings()) else {
        return;
    };
    let (mut client, server) = world.pair();

    world.close(Closing::Leave);
    eventually(|| {
        world
            .front
            .run(|| TcpStream::connect((API, world.out)))
            .unwrap()
            .is_err()
            .then_some(())
    });

    client.write_all(b"still here").unwrap();
    assert!(world.hold.upgrade().is_some());
    drop(client);
    assert_eq!(read_to_end(&server), (b"still here".to_vec(), None));
    drop(server);
    eventually(|| world.hold.upgrade().is_none().then_some(()));
}

#[test]
fn the_connections_of_a_pod_that_is_gone_are_cut() {
    let Some(world) = World::new("gone", settings()) else {
        return;
    };
    let (client, server) = world.pair();

    world.close(Closing::Gone);

    assert_eq!(read_to_end(&client), (Vec::new(), RESET));
    assert_eq!(read_to_end(&server), (Vec::new(), RESET));
    assert_eq!(world.record()["reason"], "pod_gone");
    eventually(|| world.hold.upgrade().is_none().then_some(()));
}

#[test]
fn the_connections_to_a_pod_that_is_gone_are_cut_too() {
    let Some(world) = World::new("far end gone", settings()) else {
        return;
    };
    let app = world.app("127.0.0.9:0");
    let db = mk_pod("db", "127.0.0.9");
    world.capture(db.clone(), Hold::new(()));
    world.change(vec![web(), db], world.api(&[app.local_addr().unwrap()]));
    let client = world.call();
    let (server, _) = app.accept().unwrap();
    eventually(|| world.open().pop());

    world.proxy().close(&PodUid::new("uid-db"), Closing::Gone);

    assert_eq!(read_to_end(&client), (Vec::new(), RESET));
    assert_eq!(read_to_end(&server), (Vec::new(), RESET));
    assert_eq!(world.record()["reason"], "pod_gone");
}

#[test]
fn what_is_queued_is_served_before_the_listeners_close() {
    let Some(world) = World::new("queue", settings()) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    world.serve(&[app.local_addr().unwrap()]);
    let clients: Vec<_> = (0..50).map(|_| world.call()).collect();

    world.close(Closing::Leave);

    for _ in &clients {
        app.accept().unwrap();
    }
}

#[test]
fn a_drain_lets_connections_finish() {
    let Some(world) = World::new("drain", settings()) else {
        return;
    };
    let (client, server) = world.pair();

    thread::scope(|scope| {
        let drain = scope.spawn(|| block_on(world.proxy().drain(PATIENCE, PATIENCE)));
        eventually(|| {
            world
                .front
                .run(|| TcpStream::connect((API, world.out)))
                .unwrap()
                .is_err()
                .then_some(())
        });
        assert!(!drain.is_finished());
        drop((client, server));
        drain.join().unwrap();
    });

    // The attempts that waited for the listener's end are refused: their endpoint listens no more.
    let served = |record: &Value| record["connect_ms"] != Value::Null;
    let record = eventually(|| world.log.records().into_iter().find(served));
    assert_eq!(record["reason"], Value::Null);
}

#[test]
fn a_drain_cuts_what_is_left_after_its_grace() {
    let Some(world) = World::new("drain cut", settings()) else {
        return;
    };
    let (client, server) = world.pair();

    block_on(world.proxy().drain(Duration::from_millis(10), PATIENCE));

    assert_eq!(read_to_end(&client), (Vec::new(), RESET));
    assert_eq!(read_to_end(&server), (Vec::new(), RESET));
    assert_eq!(world.record()["reason"], "drained");
}

#[test]
fn nothing_of_a_pod_is_held_by_a_proxy_that_is_dropped() {
    let Some(world) = World::new("drop", settings()) else {
        return;
    };
    let _pair = world.pair();
    let hold = world.hold.clone();

    let records = world.records();

    assert!(hold.upgrade().is_none());
    assert_eq!(records[0]["reason"], "drained");
}

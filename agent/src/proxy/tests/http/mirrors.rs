//! Copies of requests for mirrors.

use super::{ruled::*, *};
use crate::model::{
    Action, Mirror, Target, Timeouts, WrittenRule,
    policy::sample::{mk_authorization, mk_labels, mk_policies},
    route::sample::mk_backend,
};

fn copied(world: &World, mirrors: Vec<Mirror>) -> WrittenRule {
    let mut copied = mk_rule(world);
    copied.filters.mirrors = mirrors;
    copied
}

#[test]
fn a_copy_of_each_request_goes_to_its_mirror_and_what_becomes_of_it_is_nobodys_business() {
    let Some(world) = World::new("http mirror", settings()) else {
        return;
    };
    let app = busy(&world, 0);
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let heard = bodies.clone();
    let mirror = App::start(world.app("127.0.0.1:0"), move |request| {
        heard.lock().unwrap().push(request.body.clone());
        unavailable()
    });
    let mirrors = vec![mk_mirror(1, 1), mk_mirror(100, 100), mk_mirror(0, 100)];
    rule(&world, &[app.address], &[mirror.address], copied(&world, mirrors));
    let client = world.call();
    for _ in 0..3 {
        assert_eq!(ask(&client, &post("words")).1, "words");
    }
    let chunked = "POST /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n0\r\n\r\n";
    assert_eq!(ask(&client, chunked).1, "words");
    eventually(|| (mirrored(&world, "answered", "") == 8).then_some(()));
    assert_eq!(*bodies.lock().unwrap(), vec![b"words".to_vec(); 8]);
    let ids = |app: &App| {
        let heads = app.heads();
        let mut ids: Vec<_> = heads
            .iter()
            .filter_map(|head| Some(field(head, "x-request-id")?.to_owned()))
            .collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(ids(&app), ids(&mirror), "a copy keeps its request's id");
    drop(client);
    world.calm();
    let records = world.records();
    let requests = records.iter().filter(|record| record["method"].is_string());
    assert_eq!(requests.count(), 4, "of copies there are no records");
}

#[test]
fn a_mirror_that_is_slow_or_gone_or_gets_half_of_a_request_costs_the_client_nothing() {
    let Some(world) = World::new("http no mirror", settings()) else {
        return;
    };
    let app = busy(&world, 0);
    let mirrored_at = |mirrors: &[SocketAddr]| {
        rule(&world, &[app.address], mirrors, copied(&world, vec![mk_mirror(1, 1)]));
    };
    // It accepts by its backlog, and says nothing.
    let silent = world.app("127.0.0.1:0");
    mirrored_at(&[silent.local_addr().unwrap()]);
    let client = world.call();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(ask(&client, &post("words")).1, "words");
    }
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    mirrored_at(&[]);
    assert_eq!(ask(&client, &post("words")).1, "words");
    eventually(|| (mirrored(&world, "failed", "no_endpoint") == 1).then_some(()));

    let counting = busy(&world, 0);
    mirrored_at(&[counting.address]);
    let long = "x".repeat(65 * 1024);
    assert_eq!(ask(&client, &post(&long)).1, long);
    eventually(|| (mirrored(&world, "body_too_long", "") == 1).then_some(()));
    let mut leaving = world.call();
    leaving
        .write_all(b"POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    eventually(|| {
        let connections = block_on(world.proxy().connections());
        let half = |connection: &LiveConnection| connection.request.is_some() && connection.bytes_sent == 4;
        connections.iter().any(half).then_some(())
    });
    reset(leaving);
    eventually(|| (mirrored(&world, "unfinished", "") == 1).then_some(()));
    assert!(counting.heads().is_empty(), "a mirror gets whole requests only");
}

#[test]
fn of_many_requests_a_mirror_gets_its_share() {
    let Some(world) = World::new("http mirror share", settings()) else {
        return;
    };
    let (app, mirror) = (busy(&world, 0), busy(&world, 0));
    let share = copied(&world, vec![mk_mirror(25, 100)]);
    rule(&world, &[app.address], &[mirror.address], share);
    let client = world.call();
    for _ in 0..200 {
        assert_eq!(status(&ask(&client, &post("x")).0), "200");
    }
    drop(client);
    world.calm();
    let copies = mirror.heads().len();
    // Six standard deviations.
    assert!((13..=87).contains(&copies), "{copies}");
    assert_eq!(mirrored(&world, "answered", ""), copies);
}

#[test]
fn a_backends_own_mirror_gets_what_that_backend_gets_and_a_rules_what_all_get() {
    let Some(world) = World::new("http mirror backend", settings()) else {
        return;
    };
    let (app, mirror) = (busy(&world, 0), busy(&world, 0));
    let header = |name| crate::model::Header::new(name, "set").unwrap();
    let mut copied = copied(&world, vec![mk_mirror(1, 1)]);
    copied.filters.request_headers.set = vec![header("x-rule")];
    let mut own = mk_backend("api", world.out, 1);
    own.filters.request_headers.set = vec![header("x-backend")];
    own.filters.mirrors = vec![mk_mirror(1, 1)];
    copied.backends = vec![own, mk_backend("api", world.out, 1)];
    rule(&world, &[app.address], &[mirror.address], copied);
    let client = world.call();
    for _ in 0..100 {
        assert_eq!(status(&ask(&client, &post("x")).0), "200");
    }
    drop(client);
    world.calm();
    let count = |app: &App, name: &str| app.heads().iter().filter(|head| field(head, name).is_some()).count();
    let drawn = count(&app, "x-backend");
    assert!((20..=80).contains(&drawn), "{drawn}");
    assert_eq!(
        (count(&mirror, "x-rule"), mirror.heads().len()),
        (100 + drawn, 100 + drawn)
    );
    assert_eq!(count(&mirror, "x-backend"), drawn);
}

#[test]
fn no_more_copies_are_under_way_than_the_bound_and_requests_do_not_wait_for_them() {
    let Some(world) = World::new("http mirror bound", settings()) else {
        return;
    };
    let app = busy(&world, 0);
    // It takes every connection, and says nothing.
    let silent = world.app("127.0.0.1:0");
    let address = silent.local_addr().unwrap();
    thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    rule(
        &world,
        &[app.address],
        &[address],
        copied(&world, vec![mk_mirror(1, 1)]),
    );
    let client = world.call();
    for _ in 0..MOST_COPIES + 44 {
        assert_eq!(ask(&client, &post("words")).1, "words");
    }
    eventually(|| (mirrored(&world, "too_many", "") == 44).then_some(()));
    assert_eq!(mirrored(&world, "answered", ""), 0);
}

#[test]
fn a_copy_has_the_time_of_its_request() {
    let Some(world) = World::new("http mirror time", settings()) else {
        return;
    };
    let app = busy(&world, 0);
    let slow = App::start(world.app("127.0.0.1:0"), |request| {
        if request.body == b"slow" {
            thread::sleep(LIMIT * 3);
        }
        answer("late")
    });
    let limited = WrittenRule {
        timeouts: Timeouts {
            request: Some(LIMIT),
            backend_request: None,
        },
        ..copied(&world, vec![mk_mirror(1, 1)])
    };
    rule(&world, &[app.address], &[slow.address], limited);
    let client = world.call();
    assert_eq!(ask(&client, &post("slow")).1, "slow");
    assert_eq!(ask(&client, &post("fast")).1, "fast");
    eventually(|| (mirrored(&world, "timed_out", "") == 1 && mirrored(&world, "answered", "") == 1).then_some(()));
}

#[test]
fn a_body_for_which_there_is_no_room_is_not_copied_and_passes() {
    let small = Settings {
        max_buffer_per_pod: 16 << 10,
        ..settings()
    };
    let Some(world) = World::new("http mirror room", small) else {
        return;
    };
    let (app, mirror) = (busy(&world, 0), busy(&world, 0));
    let mirrors = copied(&world, vec![mk_mirror(1, 1)]);
    rule(&world, &[app.address], &[mirror.address], mirrors);
    let client = world.call();
    // Half of the buffers is left to what cannot do without.
    let (long, short) = ("x".repeat(9 << 10), "x".repeat(7 << 10));
    assert_eq!(ask(&client, &post(&long)).1, long);
    eventually(|| (mirrored(&world, "no_room", "") == 1).then_some(()));
    for _ in 0..5 {
        assert_eq!(ask(&client, &post(&short)).1, short);
        eventually(|| block_on(world.proxy().connections()).len().eq(&1).then_some(()));
    }
    assert_eq!(mirrored(&world, "answered", ""), 5, "what is sent gives its room back");
    assert_eq!(mirror.heads().len(), 5);
}

#[test]
fn a_mirror_that_a_policy_closes_gets_nothing_and_what_it_was_sent_is_cut() {
    let Some(world) = World::new("http mirror denied", settings()) else {
        return;
    };
    let app = busy(&world, 0);
    let silent = world.app("127.0.0.9:0");
    let address = silent.local_addr().unwrap();
    let db = Pod {
        labels: mk_labels(&[("app", "db")]),
        ..mk_pod("db", "127.0.0.9")
    };
    world.capture(db.clone(), Hold::new(()));
    let change = |closed: bool| {
        let rule = copied(&world, vec![mk_mirror(1, 1)]);
        let mut contents = mk_contents(&world, AppProtocol::Http1, &[app.address], &[address], rule);
        contents.pods.push(db.clone().into());
        if closed {
            let mut nobody = mk_authorization("nobody", Action::Allow, Vec::new());
            nobody.target = Target::Selector(mk_labels(&[("app", "db")]));
            contents.policies = mk_policies(vec![nobody], Vec::new());
        }
        world.mesh.send_replace(Arc::new(Mesh::new(contents)));
    };
    let denied = |count| eventually(|| (mirrored(&world, "failed", "policy_denied") == count).then_some(()));
    change(false);
    let client = world.call();
    assert_eq!(ask(&client, &post("words")).1, "words");
    let (under_way, _) = silent.accept().unwrap();
    under_way.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(read_request(&mut BufReader::new(under_way.try_clone().unwrap())).is_some());
    change(true);
    denied(1);
    read_to_end(&under_way);
    assert_eq!(ask(&client, &post("words")).1, "words");
    denied(2);
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_err(), "nobody has dialled it");
}

const LIMIT: Duration = Duration::from_millis(250);
/// How many copies of a lane may be under way.
const MOST_COPIES: usize = 256;

//! Requests that are sent more than once: tried again, and copied for mirrors.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::model::{
    Contents, Mirror, ObjectName, Retry, Share, Timeouts, WrittenRule,
    route::sample::{mk_backend, mk_match, mk_route, mk_written_rule},
    sample::{NODE, ZONE},
};

/// Makes `api` of these endpoints with a route of this rule, and beside it the service `mirror` at port 9000.
fn rule(world: &World, endpoints: &[SocketAddr], mirrors: &[SocketAddr], rule: WrittenRule) {
    let mut api = world.api(endpoints);
    api.ports[0].app_protocol = Some(AppProtocol::Http1);
    let mirrors = mirrors.iter().map(|address| mk_endpoint(&address.to_string()));
    let mirror = Service {
        ports: vec![mk_port(9000, mirrors.collect())],
        ..mk_service("mirror", &["127.96.0.2"])
    };
    let mut route = mk_route("route");
    route.parents[0].service = ObjectName::new("default", "api");
    route.rules = vec![rule];
    world.mesh.send_replace(Arc::new(Mesh::new(Contents {
        generation: 1,
        node: NODE.into(),
        zone: Some(ZONE.into()),
        pods: vec![web().into()],
        services: vec![Arc::new(api), Arc::new(mirror)],
        routes: vec![Arc::new(route)],
        ..Contents::default()
    })));
}

fn mk_rule(world: &World) -> WrittenRule {
    WrittenRule {
        backends: vec![mk_backend("api", world.out, 1)],
        ..mk_written_rule("all", vec![mk_match(Default::default())])
    }
}

fn mk_retry(attempts: u32) -> Option<Retry> {
    Some(Retry {
        statuses: vec![503],
        attempts,
        backoff: Some(BACKOFF),
    })
}

fn mk_mirror(numerator: u32, denominator: u32) -> Mirror {
    Mirror {
        target: mk_backend("mirror", 9000, 1).target,
        share: Share { numerator, denominator },
    }
}

fn unavailable() -> String {
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy".into()
}

fn post(body: &str) -> String {
    format!(
        "POST /a HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn counted(world: &World, line: &str) -> bool {
    world.exposition.text().unwrap().lines().any(|found| found == line)
}

/// An application that says 503 so many times, and then what it was told.
fn busy(world: &World, times: usize) -> App {
    let asked = AtomicUsize::new(0);
    App::start(world.app("127.0.0.1:0"), move |request| {
        match asked.fetch_add(1, SeqCst) < times {
            true => unavailable(),
            false => answer(&String::from_utf8_lossy(&request.body)),
        }
    })
}

#[test]
fn a_request_is_tried_again_after_a_status_of_the_rule_with_its_body_and_not_too_often() {
    let Some(world) = World::new("http retry", settings()) else {
        return;
    };
    for (attempts, status_expected, asked) in [(2, "200", 3), (1, "503", 2)] {
        let app = busy(&world, 2);
        let retried = WrittenRule {
            retry: mk_retry(attempts),
            ..mk_rule(&world)
        };
        rule(&world, &[app.address], &[], retried);
        let begun = Instant::now();
        let (head, body) = ask(&world.call(), &post("words"));
        assert_eq!(status(&head), status_expected);
        assert_eq!(body, if status_expected == "200" { "words" } else { "busy" });
        assert_eq!(app.heads().len(), asked);
        assert!(begun.elapsed() >= BACKOFF * attempts, "each time waits for its backoff");
        assert_eq!(
            app.connections(),
            1,
            "what was not wanted is read, and its connection serves on"
        );
        let ids: Vec<_> = app
            .heads()
            .iter()
            .map(|head| field(head, "x-request-id").map(str::to_owned))
            .collect();
        assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    eventually(|| {
        let records = world.log.records();
        let mut retries: Vec<_> = records.iter().filter_map(|record| record["retries"].as_u64()).collect();
        retries.sort_unstable();
        (retries == [1, 2]).then_some(())
    });
    assert!(counted(&world, "weft_request_retries_total{cause=\"status\"} 3"));
}

#[test]
fn without_a_rule_or_after_another_status_or_with_a_long_body_nothing_is_tried_again() {
    let Some(world) = World::new("http no retry", settings()) else {
        return;
    };
    let long = "x".repeat(65 * 1024);
    for (retry, code, body) in [
        (None, 503, "x"),
        (mk_retry(0), 503, "x"),
        (mk_retry(3), 500, "x"),
        (mk_retry(3), 503, long.as_str()),
    ] {
        let app = App::start(world.app("127.0.0.1:0"), move |_| {
            format!("HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n")
        });
        let retried = WrittenRule {
            retry,
            ..mk_rule(&world)
        };
        rule(&world, &[app.address], &[], retried);
        assert_eq!(status(&ask(&world.call(), &post(body)).0), code.to_string());
        assert_eq!(app.heads().len(), 1);
    }
}

#[test]
fn a_connection_that_breaks_is_tried_again_at_another_endpoint() {
    let Some(world) = World::new("http retry elsewhere", settings()) else {
        return;
    };
    let broken = App::start(world.app("127.0.0.1:0"), |_| String::new());
    let whole = busy(&world, 0);
    let addresses = [broken.address, whole.address];
    for (retry, all) in [(mk_retry(1), true), (None, false)] {
        rule(
            &world,
            &addresses,
            &[],
            WrittenRule {
                retry,
                ..mk_rule(&world)
            },
        );
        let answers: Vec<_> = (0..20).map(|_| ask(&world.call(), &post("words"))).collect();
        let good = answers.iter().filter(|(head, _)| status(head) == "200").count();
        match all {
            true => assert_eq!(good, 20),
            false => assert!(good < 20, "one of both breaks"),
        }
    }
    assert!(!broken.heads().is_empty(), "it was asked");
}

#[test]
fn each_time_has_its_own_limit_and_all_together_that_of_the_request() {
    let Some(world) = World::new("http retry time", settings()) else {
        return;
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let app = App::start(world.app("127.0.0.1:0"), move |_| {
        if counting.fetch_add(1, SeqCst).is_multiple_of(2) {
            thread::sleep(LIMIT * 3);
        }
        answer("late")
    });
    let limited = |request| WrittenRule {
        retry: mk_retry(1),
        timeouts: Timeouts {
            request,
            backend_request: Some(LIMIT),
        },
        ..mk_rule(&world)
    };
    rule(&world, &[app.address], &[], limited(None));
    assert_eq!(ask(&world.call(), &post("x")).1, "late");
    assert!(counted(&world, "weft_request_retries_total{cause=\"timeout\"} 1"));
    rule(&world, &[app.address], &[], limited(Some(LIMIT + BACKOFF / 2)));
    let (head, _) = ask(&world.call(), &post("x"));
    assert_eq!(
        (status(&head), asked.load(SeqCst)),
        ("504", 3),
        "the backoff, too, is of the request's time"
    );
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
    let mut mirrored = mk_rule(&world);
    mirrored.filters.mirrors = vec![mk_mirror(1, 1), mk_mirror(100, 100), mk_mirror(0, 100)];
    rule(&world, &[app.address], &[mirror.address], mirrored);
    let client = world.call();
    for _ in 0..3 {
        assert_eq!(ask(&client, &post("words")).1, "words");
    }
    let chunked = "POST /a HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwords\r\n0\r\n\r\n";
    assert_eq!(ask(&client, chunked).1, "words");
    eventually(|| counted(&world, "weft_mirrored_requests_total{outcome=\"answered\"} 8").then_some(()));
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
    let mirrored = |mirrors: &[SocketAddr]| {
        let mut mirrored = mk_rule(&world);
        mirrored.filters.mirrors = vec![mk_mirror(1, 1)];
        rule(&world, &[app.address], mirrors, mirrored);
    };
    // It accepts by its backlog, and says nothing.
    let silent = world.app("127.0.0.1:0");
    mirrored(&[silent.local_addr().unwrap()]);
    let client = world.call();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(ask(&client, &post("words")).1, "words");
    }
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    mirrored(&[]);
    assert_eq!(ask(&client, &post("words")).1, "words");
    eventually(|| counted(&world, "weft_mirrored_requests_total{outcome=\"failed\"} 1").then_some(()));

    let counting = busy(&world, 0);
    mirrored(&[counting.address]);
    let long = "x".repeat(65 * 1024);
    assert_eq!(ask(&client, &post(&long)).1, long);
    eventually(|| counted(&world, "weft_mirrored_requests_total{outcome=\"body_too_long\"} 1").then_some(()));
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
    eventually(|| counted(&world, "weft_mirrored_requests_total{outcome=\"unfinished\"} 1").then_some(()));
    assert!(counting.heads().is_empty(), "a mirror gets whole requests only");
}

#[test]
fn a_client_that_does_not_read_is_cut_when_its_routes_time_is_over() {
    let Some(world) = World::new("http late reader", settings()) else {
        return;
    };
    let app = App::start(world.app("127.0.0.1:0"), |_| answer(&"x".repeat(32 << 20)));
    let limited = WrittenRule {
        timeouts: Timeouts {
            request: Some(LIMIT * 4),
            backend_request: None,
        },
        ..mk_rule(&world)
    };
    rule(&world, &[app.address], &[], limited);
    let mut client = world.call();
    client.write_all(GET.as_bytes()).unwrap();
    let record = request_record(&world);
    assert_eq!(
        (&record["reason"], &record["status"]),
        (&"upstream_timeout".into(), &200.into())
    );
}

const BACKOFF: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_millis(250);

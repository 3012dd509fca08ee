//! Requests that are tried again, and those whose time is over.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::{ruled::*, *};
use crate::model::{Retry, Timeouts, WrittenRule};

fn mk_retry(attempts: u32) -> Option<Retry> {
    Some(Retry {
        statuses: vec![503],
        attempts,
        backoff: Some(BACKOFF),
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

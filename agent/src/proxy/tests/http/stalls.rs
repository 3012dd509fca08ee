//! Clients that do not go on: each gets its time, and an answer where one can be read.

use super::*;
use crate::proxy::HttpLimits;

/// A world whose limits are short, but for those of which a test says nothing.
fn stalling(test: &str, limits: HttpLimits) -> Option<World> {
    let http = limits;
    World::new(test, Settings { http, ..settings() })
}

const LONG: HttpLimits = HttpLimits {
    head: PATIENCE,
    stall: PATIENCE,
    idle: PATIENCE,
};
const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_head_that_is_not_finished_gets_408_however_slowly_it_comes() {
    let Some(world) = stalling("http slow head", HttpLimits { head: SHORT, ..LONG }) else {
        return;
    };
    let app = App::start(world.app("127.0.0.1:0"), |_| answer("hello"));
    serve(&world, &[app.address], Some(AppProtocol::Http1));
    let mut client = world.call();
    assert_eq!(ask(&client, GET).1, "hello");
    client.write_all(b"GET / HTTP/1.1\r\nHost: api\r\n").unwrap();
    client.set_nonblocking(true).unwrap();
    let mut first = [0];
    // A byte every few milliseconds does not make it last.
    let length = eventually(|| {
        let _ = client.write(b"X");
        thread::sleep(SHORT / 20);
        (&client).read(&mut first).ok()
    });
    client.set_nonblocking(false).unwrap();
    let (rest, end) = read_to_end(&client);
    let text = [&first[..length], &rest].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(field(&text, "x-weft-reason"), Some("request_timeout"));
    assert!(
        text.ends_with("\r\n\r\nweft: request_timeout\n") && end.is_none(),
        "{text}"
    );
    assert_eq!(connection_record(&world)["reason"], "request_timeout");
    assert_eq!(app.heads().len(), 1);
}

#[test]
fn a_body_that_does_not_come_is_408_and_the_application_sees_its_connection_break() {
    let Some(world) = stalling("http no body", HttpLimits { stall: SHORT, ..LONG }) else {
        return;
    };
    let app = world.app("127.0.0.1:0");
    serve(&world, &[app.local_addr().unwrap()], Some(AppProtocol::Http1));
    let mut client = world.call();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    let (server, _) = app.accept().unwrap();
    let (head, body) = read_response(&client);
    assert_eq!((status(&head), body.as_str()), ("408", "weft: request_timeout\n"));
    assert_eq!(field(&head, "connection"), Some("close"));
    let (got, _) = read_to_end(&server);
    assert!(got.ends_with(b"\r\n\r\nhalf"), "{}", got.escape_ascii());
    let record = request_record(&world);
    assert_eq!(
        (&record["reason"], &record["status"]),
        (&"request_timeout".into(), &408.into())
    );
}

#[test]
fn a_request_that_waits_for_its_application_is_nobodys_stall() {
    let limits = HttpLimits {
        head: SHORT,
        stall: SHORT,
        idle: SHORT,
    };
    let Some(world) = stalling("http slow app", limits) else {
        return;
    };
    let app = App::start(world.app("127.0.0.1:0"), |_| {
        thread::sleep(SHORT * 4);
        answer("hello")
    });
    serve(&world, &[app.address], Some(AppProtocol::Http1));
    let client = world.call();
    let whole = "POST / HTTP/1.1\r\nHost: api\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(ask(&client, whole).1, "hello");
    // Then it is idle, and ends in order.
    assert_eq!(read_to_end(&client), (Vec::new(), None));
    assert_eq!(connection_record(&world)["reason"], Value::Null);
}

#[test]
fn a_client_that_does_not_read_is_left_and_one_that_reads_slowly_is_not() {
    const LENGTH: usize = 32 << 20;
    let Some(world) = stalling(
        "http no reader",
        HttpLimits {
            stall: SHORT * 5,
            ..LONG
        },
    ) else {
        return;
    };
    let app = App::start(world.app("127.0.0.1:0"), |_| answer(&"x".repeat(LENGTH)));
    serve(&world, &[app.address], Some(AppProtocol::Http1));
    let mut slow = world.call();
    let idle = world.call();
    for mut client in [&slow, &idle] {
        client.write_all(GET.as_bytes()).unwrap();
    }
    // A little at a time, for longer than the limit.
    let mut chunk = vec![0; 256 << 10];
    for _ in 0..LENGTH / chunk.len() {
        slow.read_exact(&mut chunk).unwrap();
        thread::sleep(SHORT / 10);
    }
    let record = request_record(&world);
    assert_eq!(
        (&record["reason"], &record["status"]),
        (&"request_timeout".into(), &200.into())
    );
    assert_eq!(record["source"], idle.local_addr().unwrap().to_string());
}

#[test]
fn a_client_that_says_nothing_at_all_is_left_in_order_and_told_of() {
    let Some(world) = stalling("http silence", HttpLimits { idle: SHORT, ..LONG }) else {
        return;
    };
    let app = App::start(world.app(&format!("127.0.0.1:{}", world.into)), |_| answer("hello"));
    serve(&world, &[app.address], Some(AppProtocol::Http1));
    for silent in [world.call(), world.connect("127.0.0.1", world.into)] {
        assert_eq!(read_to_end(&silent), (Vec::new(), None));
        let record = eventually(|| {
            let records = world.log.records();
            records
                .into_iter()
                .find(|record| record["source"] == silent.local_addr().unwrap().to_string())
        });
        assert_eq!(record["reason"], "request_timeout");
    }
    assert_eq!(app.connections(), 0, "nobody is dialled for who asks for nothing");
}

#[test]
fn a_client_that_says_nothing_is_served_when_it_speaks_in_time() {
    let limits = HttpLimits {
        idle: SHORT * 10,
        ..LONG
    };
    let Some(world) = stalling("http late words", limits) else {
        return;
    };
    let app = App::start(world.app(&format!("127.0.0.1:{}", world.into)), |_| answer("hello"));
    serve(&world, &[app.address], Some(AppProtocol::Http1));
    let clients = [world.call(), world.connect("127.0.0.1", world.into)];
    thread::sleep(SHORT * 7);
    for client in &clients {
        assert_eq!(ask(client, GET).1, "hello");
    }
}

/// The next record of a connection.
fn connection_record(world: &World) -> Value {
    eventually(|| {
        world
            .log
            .records()
            .into_iter()
            .find(|record| record.get("method").is_none())
    })
}

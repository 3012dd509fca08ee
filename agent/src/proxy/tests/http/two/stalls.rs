//! Clients of HTTP/2 that do not go on, and those that are only quiet.

use super::{super::ruled, raw::*, *};
use crate::{
    model::{Timeouts, WrittenRule},
    proxy::HttpLimits,
};

/// A world whose limits are short, but for those of which a test says nothing.
fn stalling(test: &str, http: HttpLimits) -> Option<(World, Echo)> {
    let world = World::new(test, Settings { http, ..settings() })?;
    let echo = Echo::start(world.app("127.0.0.1:0"));
    serve(&world, &[echo.address], Some(AppProtocol::Http2));
    Some((world, echo))
}

const LONG: HttpLimits = HttpLimits {
    head: PATIENCE,
    stall: PATIENCE,
    idle: PATIENCE,
};
const SHORT: Duration = Duration::from_millis(200);
/// Of a response that long not all comes to a client that lets only so much come.
const LONG_BODY: usize = 1 << 20;
const WINDOW: u32 = 64 << 10;
const HASTY: HttpLimits = HttpLimits {
    head: SHORT,
    stall: SHORT,
    idle: SHORT,
};

#[test]
fn a_client_that_only_greets_is_left() {
    let Some((world, _echo)) = stalling("h2 preface", HttpLimits { head: SHORT, ..LONG }) else {
        return;
    };
    let mut client = world.call();
    client.write_all(PREFACE).unwrap();
    rest(&client);
    assert_eq!(world.record()["reason"], "request_timeout");
}

#[test]
fn a_field_block_that_is_not_finished_ends_the_connection_however_slowly_it_comes() {
    let Some((world, echo)) = stalling("h2 dribble", HttpLimits { head: SHORT, ..LONG }) else {
        return;
    };
    let mut client = greeted(&world);
    client.write_all(&headers(1, END_STREAM).bytes()).unwrap();
    // In two frames, of which the second is never whole.
    let first = Frame::new(CONTINUATION, 0, 1, b"\x40\x01x\x01y").bytes();
    let second = Frame::new(CONTINUATION, 0, 1, &[0; 10_000]).bytes();
    let mut bytes = [first, second].concat().into_iter();
    let record = eventually(|| {
        let _ = client.write_all(&[bytes.next().unwrap()]);
        thread::sleep(SHORT / 20);
        world.log.records().pop()
    });
    assert_eq!(record["reason"], "request_timeout");
    assert_eq!(echo.heads().len(), 0);
}

#[test]
fn half_a_frame_ends_a_connection_whose_requests_wait() {
    let Some((world, echo)) = stalling("h2 half", HttpLimits { head: SHORT, ..LONG }) else {
        return;
    };
    let mut client = greeted(&world);
    client.write_all(&headers(1, END_HEADERS).bytes()).unwrap();
    eventually(|| (!echo.heads().is_empty()).then_some(()));
    client
        .write_all(&Frame::new(PING, 0, 0, &[0; 8]).bytes()[..12])
        .unwrap();
    rest(&client);
    assert_eq!(requests(&world, 1)[0]["reason"], "request_timeout");
}

#[test]
fn a_client_without_a_request_is_sent_away_and_is_left_where_it_does_not_go() {
    let Some((world, echo)) = stalling("h2 idle", HttpLimits { idle: SHORT, ..LONG }) else {
        return;
    };
    let ended = block_on(async {
        let client = Client::open(world.call()).await;
        assert_eq!(client.ask(get("/")).await.unwrap().status, StatusCode::OK);
        client.connection.await.unwrap()
    });
    assert!(ended.is_ok(), "{ended:?}");
    // It answers no PING, which the library would wait for.
    let deaf = greeted(&world);
    let said = rest(&deaf);
    assert_eq!(said.iter().find_map(Frame::goaway), Some(0), "{said:?}");
    eventually(|| {
        let records = world.log.records();
        let ends: Vec<_> = records.iter().filter(|record| record.get("method").is_none()).collect();
        (ends.len() == 2 && ends.iter().all(|record| record["reason"].is_null())).then_some(())
    });
    assert_eq!(echo.heads().len(), 1);
}

#[test]
fn a_client_that_does_not_read_is_left() {
    let Some((world, _echo)) = stalling("h2 no reader", HttpLimits { stall: SHORT, ..LONG }) else {
        return;
    };
    let mut client = greeted(&world);
    client.set_nonblocking(true).unwrap();
    let pings = Frame::new(PING, 0, 0, &[0; 8]).bytes().repeat(1024);
    let mut at = 0;
    let record = eventually(|| {
        while let Ok(written) = client.write(&pings[at..]) {
            at = (at + written) % pings.len();
        }
        world.log.records().pop()
    });
    assert_eq!(record["reason"], "request_timeout");
}

/// Asks for a long response, of which nothing is read but its head.
async fn unread(client: &Client) -> Incoming {
    let asked = post("/unread", "text/plain", vec![b'x'; LONG_BODY]);
    let mut sender = client.sender.clone();
    let response = sender.send_request(asked).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

/// The record of what [`unread`] has asked for, once there is one; until then the connection is used for more.
async fn record_of_unread(world: &World, client: &Client) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        assert_eq!(client.ask(get("/")).await.unwrap().status, StatusCode::OK);
        let records = world.log.records();
        if let Some(record) = records.into_iter().find(|record| record["path"] == "/unread") {
            return record;
        }
        assert!(Instant::now() < end, "it is still open");
        tokio::time::sleep(SHORT / 20).await;
    }
}

#[test]
fn a_stream_that_is_not_read_is_cut_alone_and_one_that_is_read_slowly_is_not() {
    let Some((world, _echo)) = stalling(
        "h2 unread",
        HttpLimits {
            stall: SHORT * 5,
            ..LONG
        },
    ) else {
        return;
    };
    block_on(async {
        let client = Client::with_window(WINDOW, world.call()).await;
        let mut idle = unread(&client).await;
        let record = record_of_unread(&world, &client).await;
        assert_eq!(
            (&record["reason"], &record["status"]),
            (&"request_timeout".into(), &200.into())
        );
        let ended = loop {
            match idle.frame().await {
                Some(Ok(_)) => {}
                ended => break ended,
            }
        };
        assert!(ended.is_some_and(|end| end.is_err()), "after what has come it is reset");
        // A little at a time, for longer than the limit.
        let mut slow = unread(&client).await;
        let mut length = 0;
        let begun = Instant::now();
        while let Some(frame) = slow.frame().await {
            length += frame.unwrap().data_ref().map_or(0, Bytes::len);
            if begun.elapsed() < SHORT * 8 {
                tokio::time::sleep(SHORT / 4).await;
            }
        }
        assert_eq!(length, LONG_BODY);
    });
    world.calm();
    let records = world.records();
    let unread = records.iter().filter(|record| record["path"] == "/unread");
    let mut reasons: Vec<_> = unread.map(|record| record["reason"].clone()).collect();
    reasons.sort_by_key(Value::is_null);
    assert_eq!(reasons, ["request_timeout".into(), Value::Null]);
}

#[test]
fn a_stream_that_is_not_read_ends_when_its_time_is_over_or_it_is_cut() {
    let Some((world, echo)) = stalling("h2 unread cut", LONG) else {
        return;
    };
    let change = |limit: Option<Duration>| {
        let rule = WrittenRule {
            timeouts: Timeouts {
                request: limit,
                backend_request: None,
            },
            ..ruled::mk_rule(&world)
        };
        let contents = ruled::mk_contents(&world, AppProtocol::Http2, &[echo.address], &[], rule);
        world.mesh.send_replace(Arc::new(Mesh::new(contents)));
    };
    for (limit, reason) in [(Some(SHORT * 10), "upstream_timeout"), (None, "killed")] {
        change(limit);
        world.log.0.lock().unwrap().clear();
        block_on(async {
            let client = Client::with_window(WINDOW, world.call()).await;
            let _unread = unread(&client).await;
            if limit.is_none() {
                let open = world.proxy().connections().await;
                let path = |open: &LiveConnection| open.request.as_ref().map(|request| request.path.clone());
                let open = open.iter().find(|open| path(open).as_deref() == Some("/unread"));
                assert!(world.proxy().kill(open.unwrap().id).await);
            }
            let record = record_of_unread(&world, &client).await;
            assert_eq!((&record["reason"], &record["status"]), (&reason.into(), &200.into()));
        });
    }
}

#[test]
fn a_stream_that_is_quiet_on_both_sides_lives_past_all_limits() {
    let Some((world, echo)) = stalling("h2 quiet", HASTY) else {
        return;
    };
    let runtime = runtime();
    let client = runtime.block_on(Client::open(world.call()));
    let answer = thread::scope(|scope| {
        let call = post("/stream", "application/grpc", "x");
        let calling = scope.spawn(|| runtime.block_on(client.ask(call)));
        eventually(|| (!echo.heads().is_empty()).then_some(()));
        // A client that says nothing for as long, whose message comes after all.
        let mut quiet = greeted(&world);
        quiet.write_all(&headers(1, END_HEADERS).bytes()).unwrap();
        eventually(|| (echo.heads().len() == 2).then_some(()));
        thread::sleep(SHORT * 5);
        quiet
            .write_all(&Frame::new(DATA, END_STREAM, 1, b"late").bytes())
            .unwrap();
        let heard = std::iter::from_fn(|| Frame::read(&quiet)).find(|frame| frame.kind == DATA);
        assert_eq!(heard.unwrap().payload, b"late");
        echo.gate.notify_one();
        calling.join().unwrap().unwrap()
    });
    assert_eq!(
        (answer.body, &answer.trailers[END]),
        ("x".into(), &HeaderValue::from_static("whole"))
    );
}

//! Clients of HTTP/2 that do not go on, and those that are only quiet.

use super::{raw::*, *};
use crate::proxy::HttpLimits;

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

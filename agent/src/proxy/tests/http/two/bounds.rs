//! Clients of HTTP/2 that ask for too much: each is stopped, and others go on.

use super::{raw::*, *};

#[test]
fn rapid_resets_end_the_connection_and_others_go_on() {
    let Some((world, echo)) = two("h2 resets", Some(AppProtocol::Http2)) else {
        return;
    };
    let other = runtime();
    let polite = other.block_on(Client::open(world.call()));
    let mut client = greeted(&world);
    let flood = (0..10_000).flat_map(|index| {
        let stream = index * 2 + 1;
        let asked = headers(stream, END_HEADERS | END_STREAM).bytes();
        [asked, Frame::new(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()).bytes()].concat()
    });
    // It ends while the client still writes.
    let _ = client.write_all(&flood.collect::<Vec<_>>());
    let said = rest(&client);
    let reason = said.iter().find_map(Frame::goaway);
    assert!(matches!(reason, Some(ENHANCE_YOUR_CALM) | None), "{said:?}");
    let record = eventually(|| {
        let mut records = world.log.records();
        records.retain(|record| record.get("method").is_none());
        records.pop()
    });
    assert_eq!(record["reason"], "bad_request");
    assert!(echo.heads().len() < 10_000, "{}", echo.heads().len());
    let answer = other.block_on(polite.ask(get("/"))).unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[test]
fn a_field_block_without_end_ends_the_connection_and_others_go_on() {
    let Some((world, echo)) = two("h2 continuation", Some(AppProtocol::Http2)) else {
        return;
    };
    let mut client = greeted(&world);
    let more = Frame::new(CONTINUATION, 0, 1, b"\x40\x01x\x01y").bytes();
    let flood = [headers(1, END_STREAM).bytes(), more.repeat(100_000)].concat();
    let _ = client.write_all(&flood);
    rest(&client);
    assert_eq!(world.record()["reason"], "bad_request");
    assert_eq!(echo.heads().len(), 0);
    let answer = block_on(async { Client::open(world.call()).await.ask(get("/")).await });
    assert_eq!(answer.unwrap().status, StatusCode::OK);
}

#[test]
fn a_stream_beyond_the_most_is_refused_alone() {
    let Some((world, echo)) = two("h2 streams", Some(AppProtocol::Http2)) else {
        return;
    };
    let mut client = greeted(&world);
    let most = crate::proxy::http::MOST_STREAMS;
    // Without their ends the application answers none of them.
    for index in 0..=most {
        client.write_all(&headers(index * 2 + 1, END_HEADERS).bytes()).unwrap();
    }
    let beyond = most * 2 + 1;
    let refused = std::iter::from_fn(|| Frame::read(&client)).find(|frame| frame.stream != 0);
    let refusal = Frame::new(RST_STREAM, 0, beyond, &REFUSED_STREAM.to_be_bytes());
    assert_eq!(refused, Some(refusal));
    client
        .write_all(&Frame::new(DATA, END_STREAM, 1, b"on").bytes())
        .unwrap();
    let served = std::iter::from_fn(|| Frame::read(&client)).find(|frame| frame.kind == DATA);
    assert_eq!(served.unwrap().payload, b"on");
    eventually(|| (echo.heads().len() == most as usize).then_some(()));
    let again = headers(beyond + 2, END_HEADERS | END_STREAM);
    client.write_all(&again.bytes()).unwrap();
    let served = std::iter::from_fn(|| Frame::read(&client)).find(|frame| frame.stream == beyond + 2);
    assert_eq!(served.unwrap().kind, HEADERS, "there is room again");
}

#[test]
fn a_header_list_that_is_too_long_is_refused_alone() {
    let Some((world, echo)) = two("h2 header list", Some(AppProtocol::Http2)) else {
        return;
    };
    let mut long = get("/long");
    let words = HeaderValue::try_from("x".repeat(70_000)).unwrap();
    long.headers_mut().insert("x-long", words);
    block_on(async {
        let client = Client::open(world.call()).await;
        let refused = client.ask(long).await.unwrap();
        assert_eq!(refused.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let mut fits = get("/fits");
        let words = HeaderValue::try_from("x".repeat(10_000)).unwrap();
        fits.headers_mut().insert("x-long", words);
        assert_eq!(client.ask(fits).await.unwrap().status, StatusCode::OK);
    });
    assert_eq!(echo.heads().len(), 1);
}

/// Errors of HTTP/2 (RFC 9113, 7).
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

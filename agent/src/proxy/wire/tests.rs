//! Whole conversations, cut in every way.

use std::collections::BTreeMap;

use super::*;
use crate::{model::ObjectName, telemetry::Denied};

#[test]
fn a_stream_is_read_the_same_however_it_is_cut() {
    let bytes = stream(&mk_header(), &[b"GET /", &[7; 300]]);
    let whole = events(Role::Server, &[&bytes]).unwrap();
    assert_eq!(whole, ["header shop/web", "data 305 bytes", "end"]);
    for cut in 1..bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(events(Role::Server, &[front, back]).unwrap(), whole, "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(events(Role::Server, &single).unwrap(), whole);
}

#[test]
fn the_next_stream_follows_the_end_of_the_last() {
    let bytes = [stream(&mk_header(), &[b"a"]), stream(&mk_header(), &[])].concat();
    assert_eq!(
        events(Role::Server, &[&bytes]).unwrap(),
        ["header shop/web", "data 1 bytes", "end", "header shop/web", "end"]
    );
}

#[test]
fn a_connection_is_free_between_streams_only() {
    let mut decoder = Decoder::new(Role::Server);
    assert!(decoder.is_between_streams());
    let bytes = stream(&mk_header(), &[b"a"]);
    let (front, mut end) = bytes.split_at(bytes.len() - HEAD);
    let mut front = front;
    while decoder.next(&mut front).unwrap().is_some() {
        assert!(!decoder.is_between_streams());
    }
    assert_eq!(decoder.next(&mut end), Ok(Some(Event::End)));
    assert!(decoder.is_between_streams());
    let mut part: &[u8] = &[1];
    assert_eq!(decoder.next(&mut part), Ok(None));
    assert!(!decoder.is_between_streams(), "a part of the next header has come");
}

#[test]
fn a_refusal_names_its_reason_and_ends_the_connection() {
    let refusal = |denied| [&frame_head(Kind::Status, 1)[..], &[Status::Refused(denied).code()]].concat();
    assert_eq!(
        events(Role::Client, &[&refusal(Denied::PolicyDenied)]).unwrap(),
        ["status Refused(PolicyDenied)"]
    );
    let more = [refusal(Denied::UpstreamRefused), frame_head(Kind::End, 0).to_vec()].concat();
    assert_eq!(events(Role::Client, &[&more]), Err(Violation::OutOfOrder(Kind::End)));
}

#[test]
fn codes_are_read_as_they_are_written() {
    for code in 0..=12 {
        assert_eq!(Status::from(code).code(), code);
    }
    assert_eq!(Status::from(200), Status::Refused(Denied::AgentError));
    assert_eq!(Status::Refused(Denied::AgentError).code(), u8::MAX);
}

#[test]
fn frames_out_of_order_are_violations() {
    let data = [&frame_head(Kind::Data, 1)[..], b"x"].concat();
    let status = [&frame_head(Kind::Status, 1)[..], &[0]].concat();
    let end = frame_head(Kind::End, 0).to_vec();
    for (role, bytes, kind) in [
        (Role::Server, data.clone(), Kind::Data),
        (Role::Server, status.clone(), Kind::Status),
        (
            Role::Server,
            [stream(&mk_header(), &[]), end.clone()].concat(),
            Kind::End,
        ),
        (Role::Client, stream(&mk_header(), &[]), Kind::Header),
        (Role::Client, data.clone(), Kind::Data),
        (Role::Client, [status.clone(), status].concat(), Kind::Status),
    ] {
        assert_eq!(events(role, &[&bytes]), Err(Violation::OutOfOrder(kind)));
    }
    let after_reset = [
        [&frame_head(Kind::Status, 1)[..], &[0]].concat(),
        frame_head(Kind::Reset, 0).to_vec(),
        data,
    ]
    .concat();
    assert_eq!(
        events(Role::Client, &[&after_reset]),
        Err(Violation::OutOfOrder(Kind::Data))
    );
}

#[test]
fn lengths_that_a_kind_does_not_allow_are_violations() {
    let accepted = [&frame_head(Kind::Status, 1)[..], &[0]].concat();
    for (kind, length) in [(Kind::Data, 0), (Kind::End, 1), (Kind::Reset, 3)] {
        let bytes = [&accepted[..], &frame_head(kind, length)].concat();
        assert_eq!(events(Role::Client, &[&bytes]), Err(Violation::Length { kind, length }));
    }
    let (kind, length) = (Kind::Header, LONGEST_HEADER + 1);
    assert_eq!(
        events(Role::Server, &[&frame_head(kind, length)]),
        Err(Violation::Length { kind, length })
    );
    assert_eq!(events(Role::Server, &[&[9, 0, 0, 0]]), Err(Violation::UnknownKind(9)));
}

#[test]
fn a_header_keeps_all_it_is_given() {
    let header = Header {
        service: None,
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..mk_header()
    };
    for header in [header, mk_header()] {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(Header::decode(&bytes[HEAD..]), Ok(header));
    }
}

#[test]
fn labels_that_do_not_fit_are_left_out() {
    let labels = (0..1000).map(|i| (format!("key-{i}"), "v".repeat(200))).collect();
    let mut bytes = Vec::new();
    Header { labels, ..mk_header() }.encode(&mut bytes);
    let header = Header::decode(&bytes[HEAD..]).unwrap();
    assert_eq!(header.labels, BTreeMap::new());
    assert_eq!(header.source, mk_header().source);
}

#[test]
fn names_that_no_object_bears_are_refused() {
    for name in ["", "Web", "web\n", "a/b", &"x".repeat(254)] {
        let mut bytes = Vec::new();
        Header {
            source: ObjectName::new("shop", name),
            ..mk_header()
        }
        .encode(&mut bytes);
        assert!(
            matches!(
                Header::decode(&bytes[HEAD..]),
                Err(InvalidHeader::Field { field: "pod", .. })
            ),
            "{name:?}"
        );
    }
    assert!(matches!(Header::decode(&[0xff; 7]), Err(InvalidHeader::Message(_))));
}

/// What a decoder says of these pieces; data that follows data is one.
fn events(role: Role, pieces: &[&[u8]]) -> Result<Vec<String>, Violation> {
    let mut decoder = Decoder::new(role);
    let mut told: Vec<String> = Vec::new();
    let mut data = 0;
    for piece in pieces {
        let mut piece = *piece;
        while let Some(event) = decoder.next(&mut piece)? {
            if let Event::Data(bytes) = event {
                data += bytes.len();
                continue;
            }
            if data > 0 {
                told.push(format!("data {data} bytes"));
                data = 0;
            }
            told.push(match event {
                Event::Header(header) => format!("header {}", header.source),
                Event::Status(status) => format!("status {status:?}"),
                Event::End => "end".to_owned(),
                Event::Reset => "reset".to_owned(),
                Event::Data(_) => unreachable!("counted above"),
            });
        }
    }
    Ok(told)
}

fn stream(header: &Header, data: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    for data in data {
        bytes.extend_from_slice(&frame_head(Kind::Data, data.len()));
        bytes.extend_from_slice(data);
    }
    bytes.extend_from_slice(&frame_head(Kind::End, 0));
    bytes
}

fn mk_header() -> Header {
    Header {
        service: Some((ObjectName::new("shop", "api"), 80)),
        source: ObjectName::new("shop", "web"),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        trace: None,
    }
}

//! Hellos of agents and of others, whole, cut and changed.

use rustls::{ClientConnection, RootCertStore, version::TLS13};

use super::{super::provider::provider, *};

/// The first flight of a client that offers these protocols.
pub(super) fn flight(protocols: &[&[u8]]) -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = "pod.example".try_into().expect("a name");
    let mut client = ClientConnection::new(config.into(), name).expect("a client");
    let mut flight = Vec::new();
    client.write_tls(&mut flight).expect("a Vec takes every write");
    flight
}

/// The same handshake message, in records of so many bytes.
pub(super) fn recut(flight: &[u8], size: usize) -> Vec<u8> {
    let records = flight[RECORD_HEADER..].chunks(size).map(|chunk| {
        let length = u16::try_from(chunk.len()).expect("short").to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], chunk].concat()
    });
    records.collect::<Vec<_>>().concat()
}

#[test]
fn an_agents_hello_is_ours_whatever_else_it_offers() {
    assert_eq!(hello(&flight(&[b"weft-tcp/1"])), Hello::Ours);
    assert_eq!(hello(&flight(&[b"h2", b"weft-tcp/1"])), Hello::Ours);
}

#[test]
fn tls_without_a_protocol_of_ours_is_foreign() {
    assert_eq!(hello(&flight(&[b"h2", b"http/1.1"])), Hello::Foreign);
    assert_eq!(hello(&flight(&[])), Hello::Foreign);
    assert_eq!(hello(&flight(&[b"weft-tcp/2", b"weft-tcp/11"])), Hello::Foreign);
}

#[test]
fn every_beginning_of_our_hello_is_incomplete_until_it_is_ours() {
    let flight = flight(&[b"weft-tcp/1"]);
    let told: Vec<Hello> = (0..=flight.len()).map(|length| hello(&flight[..length])).collect();
    let first = told.iter().position(|told| *told == Hello::Ours).expect("ours at last");
    assert!(told[..first].iter().all(|told| *told == Hello::Incomplete));
    assert!(told[first..].iter().all(|told| *told == Hello::Ours));
}

#[test]
fn a_hello_in_many_records_is_read_like_one() {
    for size in [1, 7, 100] {
        assert_eq!(hello(&recut(&flight(&[b"weft-tcp/1"]), size)), Hello::Ours);
        assert_eq!(hello(&recut(&flight(&[b"h2"]), size)), Hello::Foreign);
    }
}

#[test]
fn other_protocols_are_foreign_at_their_first_strange_byte() {
    for first in [
        &b"G"[..],
        b"SSH-2.0-x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x04",
        b"\x16\x03\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x17\x03\x03",
    ] {
        assert_eq!(hello(first), Hello::Foreign, "{first:?}");
    }
}

#[test]
fn no_changed_byte_makes_it_panic_or_wait_for_more_than_a_hello() {
    let flight = flight(&[b"weft-tcp/1"]);
    for position in 0..flight.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = flight.clone();
            changed[position] = value;
            hello(&changed);
            changed.resize(LARGEST_HELLO * 2, 0);
            assert_ne!(hello(&changed), Hello::Incomplete, "byte {position} = {value}");
        }
    }
}

#[test]
fn bytes_after_a_hello_that_is_ours_make_it_nothing_else() {
    let mut first = recut(&flight(&[b"weft-tcp/1"]), 4096);
    // The message says that it is longer: another record ought to follow.
    first[RECORD_HEADER + 2] += 1;
    assert_eq!(hello(&first), Hello::Ours);
    for after in [&b"G"[..], b"\x16\x04", b"\x16\x03\x05", b"\x16\x03\x01\x00\x00"] {
        assert_eq!(hello(&[&first, after].concat()), Hello::Ours, "{after:?}");
    }
}

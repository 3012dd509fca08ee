//! The name of the server that a ClientHello asks for (RFC 6066, 3). Of one that encrypts it, it is the outer one.

use super::{Fields, Stop, of_extension};
use crate::model::is_server_name;

/// The server that the first bytes of a connection ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// It takes more bytes to tell.
    Incomplete,
    /// None: they are no ClientHello, or one without a name that could be a host's.
    Absent,
    /// This one, as the client wrote it.
    Named(Box<str>),
}

/// Tells which server the first bytes of a connection ask for.
pub fn server_name(first: &[u8]) -> ServerName {
    match of_extension(first, EXTENSION_SERVER_NAME, host_name) {
        Ok(name) => ServerName::Named(name),
        Err(Stop::Short) => ServerName::Incomplete,
        Err(Stop::Foreign) => ServerName::Absent,
    }
}

/// The first host name in the body of the extension.
fn host_name(body: &[u8]) -> Result<Box<str>, Stop> {
    let mut names = Fields::list(body)?;
    loop {
        let kind = names.take(1)?;
        let name = names.vector(2)?;
        if kind == HOST_NAME {
            let name = std::str::from_utf8(name)
                .ok()
                .filter(|name| is_server_name(name.as_bytes()));
            return name.map(Into::into).ok_or(Stop::Foreign);
        }
    }
}

const EXTENSION_SERVER_NAME: [u8; 2] = [0, 0];
const HOST_NAME: [u8; 1] = [0];

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{flight, recut},
        *,
    };

    fn named(name: &str) -> ServerName {
        ServerName::Named(name.into())
    }

    /// A hello with nothing but this body of the extension.
    fn hello_of(body: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let extension = [&EXTENSION_SERVER_NAME[..], &length(body), body].concat();
        let fields = [&[3; 34][..], &[0, 0, 2, 0x13, 1, 1, 0], &length(&extension), &extension].concat();
        let message = [&[1, 0][..], &length(&fields), &fields].concat();
        [&[22, 3, 1][..], &length(&message), &message].concat()
    }

    fn list_of(names: &[(u8, &[u8])]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let names = names
            .iter()
            .map(|(kind, name)| [&[*kind][..], &length(name), name].concat());
        let names = names.collect::<Vec<_>>().concat();
        [&length(&names)[..], &names].concat()
    }

    #[test]
    fn a_clients_server_is_told_from_one_record_and_from_many() {
        let flight = flight(&[b"h2"]);
        assert_eq!(server_name(&flight), named("pod.example"));
        for size in [1, 7, 100] {
            assert_eq!(server_name(&recut(&flight, size)), named("pod.example"), "{size}");
        }
        let mut with_more = flight;
        with_more.extend(b"\x14\x03\x03\x00\x01\x01");
        assert_eq!(server_name(&with_more), named("pod.example"));
    }

    #[test]
    fn every_beginning_is_incomplete_until_the_name_is_there() {
        let flight = flight(&[]);
        let told: Vec<_> = (0..=flight.len())
            .map(|length| server_name(&flight[..length]))
            .collect();
        let first = told.iter().position(|told| *told != ServerName::Incomplete);
        let first = first.expect("at last");
        assert!(told[first..].iter().all(|told| *told == named("pod.example")));
    }

    #[test]
    fn what_is_no_host_or_malformed_is_absent() {
        assert_eq!(
            server_name(&hello_of(&list_of(&[(0, b"a.Example")]))),
            named("a.Example")
        );
        assert_eq!(server_name(&hello_of(&list_of(&[(1, b"x"), (0, b"a")]))), named("a"));
        let long = [b'a'; 254];
        for body in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"\0\x09\0\0\x06a",
            b"\xff\xff\0\0\x01a",
            &list_of(&[(0, b"")]),
            &list_of(&[(1, b"a")]),
            &list_of(&[(0, b"a b")]),
            &list_of(&[(0, b"a\0")]),
            &list_of(&[(0, "\u{e4}.example".as_bytes())]),
            &list_of(&[(0, &long)]),
        ] {
            assert_eq!(server_name(&hello_of(body)), ServerName::Absent, "{body:?}");
        }
        for first in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"\x16\x03\x01\0\0",
        ] {
            assert_eq!(server_name(first), ServerName::Absent, "{first:?}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic_or_wait_for_more_than_a_hello() {
        let flight = flight(&[]);
        for position in 0..flight.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = flight.clone();
                changed[position] = value;
                server_name(&changed);
                changed.resize(32 * 1024, 0);
                assert_ne!(
                    server_name(&changed),
                    ServerName::Incomplete,
                    "byte {position} = {value}"
                );
            }
        }
    }
}

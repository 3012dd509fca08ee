//! What happens to the bytes.

use std::{net::Shutdown, os::fd::AsRawFd as _};

use nix::sys::socket::{MsgFlags, recv};

use super::*;

#[test]
fn bulk_passes_both_ways_at_once_unchanged() {
    let Some(world) = World::new("bulk", settings()) else {
        return;
    };
    let (client, server) = world.pair();

    let (there, back) = thread::scope(|scope| {
        scope.spawn(|| send_bulk(&client, 1));
        scope.spawn(|| send_bulk(&server, 2));
        let there = scope.spawn(|| receive_bulk(&server, 1));
        let back = scope.spawn(|| receive_bulk(&client, 2));
        (there.join().unwrap(), back.join().unwrap())
    });

    assert_eq!((there, back), (BULK, BULK));
    drop((client, server));
    let record = world.record();
    assert_eq!(
        (&record["bytes_sent"], &record["bytes_received"]),
        (&BULK.into(), &BULK.into())
    );
    assert_eq!(record["reason"], Value::Null);
}

#[test]
fn either_side_may_close_its_half_and_still_be_answered() {
    let Some(world) = World::new("half-close", settings()) else {
        return;
    };
    for client_first in [true, false] {
        let (client, server) = world.pair();
        let (mut first, mut second) = if client_first {
            (client, server)
        } else {
            (server, client)
        };

        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        let asked = read_to_end(&second);
        second.write_all(b"answer").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        let answered = read_to_end(&first);

        assert_eq!(asked, (b"question".to_vec(), None));
        assert_eq!(answered, (b"answer".to_vec(), None));
    }
    let records = world.records();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record["reason"] == Value::Null));
}

#[test]
fn a_reset_of_either_side_reaches_the_other_after_what_was_sent_before() {
    let Some(world) = World::new("reset", settings()) else {
        return;
    };
    for client_first in [true, false] {
        let (client, server) = world.pair();
        let (mut first, second) = if client_first {
            (client, server)
        } else {
            (server, client)
        };

        first.write_all(b"last words").unwrap();
        reset(first);

        assert_eq!(read_to_end(&second), (b"last words".to_vec(), RESET));
    }
}

#[test]
fn a_reset_is_seen_though_nothing_can_be_sent_to_the_other_side() {
    let Some(world) = World::new("reset under back-pressure", settings()) else {
        return;
    };
    let (client, server) = world.pair();
    fill(&client);

    reset(client);

    // The stalled server gets what fits, and the reset.
    world.calm();
    assert_eq!(read_to_end(&server).1, RESET);
}

#[test]
fn the_close_of_a_half_closed_side_is_noticed_without_a_write() {
    let Some(world) = World::new("death of a half-closed side", settings()) else {
        return;
    };
    let (client, server) = world.pair();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), (Vec::new(), None));

    reset(server);

    world.calm();
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let Some(world) = World::new("server first", settings()) else {
        return;
    };
    let (mut client, mut server) = world.pair();

    server.write_all(b"220 hello").unwrap();
    let mut greeting = [0; 9];
    client.read_exact(&mut greeting).unwrap();

    assert_eq!(&greeting, b"220 hello");
}

#[test]
fn a_stalled_reader_stalls_its_writer_and_nobody_else() {
    let Some(world) = World::new("back-pressure", settings()) else {
        return;
    };
    let stalled: Vec<_> = (0..4).map(|_| world.pair()).collect();
    let taken: usize = stalled.iter().map(|(client, _)| fill(client)).sum();

    let (mut client, mut server) = world.pair();
    client.write_all(b"ping").unwrap();
    let mut ping = [0; 4];
    server.read_exact(&mut ping).unwrap();
    assert_eq!(&ping, b"ping");

    let read: usize = stalled
        .into_iter()
        .map(|(client, server)| {
            drop(client);
            read_to_end(&server).0.len()
        })
        .sum();
    assert_eq!(read, taken);
}

/// Writes until nothing more goes for a while, and tells how much went.
fn fill(stream: &TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let chunk = [7; 64 * 1024];
    let mut written = 0;
    let mut stream = stream;
    while let Ok(length) = stream.write(&chunk) {
        written += length;
    }
    written
}

/// Sends numbers that depend on their place and on `seed`.
fn send_bulk(mut stream: &TcpStream, seed: u64) {
    let mut bytes = Vec::with_capacity(CHUNK);
    for start in (0..BULK).step_by(CHUNK) {
        bytes.clear();
        bytes.extend((start..start + CHUNK as u64).map(|place| byte_at(place, seed)));
        stream.write_all(&bytes).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Receives what [`send_bulk`] sends, in pieces of any size, and tells how much of it came in order.
fn receive_bulk(stream: &TcpStream, seed: u64) -> u64 {
    let mut buffer = vec![0; 100_000];
    let mut place = 0;
    loop {
        let length = recv(stream.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
        if length == 0 {
            return place;
        }
        for byte in &buffer[..length] {
            assert_eq!(*byte, byte_at(place, seed), "at {place}");
            place += 1;
        }
    }
}

fn byte_at(place: u64, seed: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed) >> 56) as u8
}

const BULK: u64 = 32_000_000;
const CHUNK: usize = 50_000;

//! What a connection carries: every byte, each half's end, resets, and the pace of the slower side.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use harness::{App, Family, Packet, Pod, Server, Sniffer, Talk, wait};

use crate::mesh::{Mesh, Single, record_from};

/// A client and servers behind one pass in memory and behind mutual TLS, each with the same application.
struct Paths {
    servers: [(Pod, Server); 2],
    client: Pod,
    mesh: Mesh,
}

impl Paths {
    fn to(app: App) -> Self {
        let mesh = Mesh::start_secured();
        let client = mesh.pod(0, "mesh/client");
        let servers = [(0, "mesh/near"), (1, "mesh/far")].map(|(node, name)| {
            let pod = mesh.pod(node, name);
            let server = pod.serve(8080, app);
            (pod, server)
        });
        mesh.wait_certified();
        Self { servers, client, mesh }
    }

    /// A connection for each path and family.
    fn each(&self) -> impl Iterator<Item = TcpStream> {
        let paths = self
            .servers
            .iter()
            .flat_map(|(pod, _)| Family::BOTH.map(|family| (pod, family)));
        paths.map(|(pod, family)| self.client.connect(pod.addresses().at(family, 8080)).unwrap())
    }

    /// What the kernel tells of each TCP socket on the way to a pod.
    fn sockets(&self, pod: &Pod) -> String {
        let netns = [self.client.netns(), pod.netns()].into_iter();
        let netns = netns.chain(self.mesh.nodes.iter().map(|node| &**node.netns()));
        netns
            .map(|netns| format!("{}:\n{}", netns.name(), netns.sh("ss -tinmo")))
            .collect()
    }
}

#[test]
fn the_clients_end_reaches_the_server_while_its_answer_still_flows() {
    let paths = Paths::to(App::Sink);
    for stream in paths.each() {
        Talk::send_pattern(&stream, 3_000_000).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(Talk::hear(&stream).unwrap(), "3000000\n");
    }
}

#[test]
fn the_servers_end_reaches_the_client_while_its_own_bytes_still_flow() {
    let paths = Paths::to(App::EndFirst);
    for mut stream in paths.each() {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the server has ended its half");
        Talk::send_pattern(&stream, 3_000_000).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    wait::until(wait::PATIENCE, "records of all bytes", || {
        let records = paths.mesh.agents[0].records();
        records.len() == 4 && records.iter().all(|record| record["bytes_sent"] == 3_000_000)
    });
}

#[test]
fn a_servers_reset_is_a_reset_at_the_client() {
    let paths = Paths::to(App::Reset);
    for mut stream in paths.each() {
        stream.write_all(b"x").unwrap();
        assert_eq!(
            stream.read(&mut [0; 8]).unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }
}

#[test]
fn a_clients_reset_is_a_reset_at_the_server() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    for (node, name) in [(0, "mesh/near"), (1, "mesh/far")] {
        let server = mesh.pod(node, name);
        for family in Family::BOTH {
            let to = server.addresses().at(family, 8080);
            let listener = server.run(|| std::net::TcpListener::bind(to)).unwrap();
            let stream = client.connect(to).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            accepted.set_read_timeout(Some(wait::PATIENCE)).unwrap();
            assert_eq!((&stream).write(b"x").unwrap(), 1);
            accepted.read_exact(&mut [0]).unwrap();
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(stream);
            assert_eq!(
                accepted.read(&mut [0; 8]).unwrap_err().kind(),
                io::ErrorKind::ConnectionReset
            );
        }
    }
}

#[test]
fn the_kernels_reset_in_a_closed_clients_name_stays_in_the_pod() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Sink);
    let sniffer = Sniffer::start(client.netns(), "eth0");
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let mut stream = client.connect(to).unwrap();
        stream.write_all(b"x").unwrap();
        // Nobody is left to read what the server says at the end.
        drop(stream);
        mesh.agent.record("one record", |record| {
            record["original_destination"] == to.to_string().as_str()
        });
    }
    assert_eq!(sniffer.count(Packet::is_reset), 0, "{:?}", sniffer.packets());
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let paths = Paths::to(App::Banner);
    // The first connection of each path meets cold caches and a debug build.
    paths.each().for_each(drop);
    for stream in paths.each() {
        let start = Instant::now();
        Talk::line(&stream).unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_millis(100), "{took:?}");
    }
}

#[test]
fn a_client_that_sends_nothing_holds_its_connection_open() {
    let paths = Paths::to(App::Echo);
    let streams: Vec<_> = paths.each().collect();
    wait::holds(Duration::from_secs(3), "silent connections stay", || {
        streams.iter().all(|stream| {
            stream.set_nonblocking(true).unwrap();
            stream
                .peek(&mut [0])
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        })
    });
    for stream in &streams {
        stream.set_nonblocking(false).unwrap();
        assert_eq!(Talk::ask(stream, b"still here").unwrap(), b"still here");
    }
}

#[test]
fn a_reader_that_stalls_stops_its_writer() {
    let paths = Paths::to(App::Stall);
    for pod in paths.servers.iter().map(|(pod, _)| pod).chain([&paths.client]) {
        for buffers in ["ipv4/tcp_rmem", "ipv4/tcp_wmem"] {
            pod.netns().set(buffers, "4096 131072 1048576");
        }
    }
    let streams: Vec<_> = paths.each().collect();
    thread::scope(|scope| {
        for mut stream in &streams {
            scope.spawn(move || {
                stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                let mut sent = 0;
                let error = loop {
                    match stream.write(&Talk::PATTERN[..65_000]) {
                        Ok(length) => sent += length,
                        Err(error) => break error,
                    }
                    assert!(sent < MOST_UNDER_WAY, "{sent} bytes went into a stalled connection");
                };
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            });
        }
    });
}

#[test]
fn urgent_small_writes_are_not_held_back() {
    let paths = Paths::to(App::Echo);
    for stream in paths.each() {
        // Nagle's algorithm against a delayed ACK costs 40 ms a turn.
        wait::in_time(Duration::from_secs(1), || {
            let start = Instant::now();
            for _ in 0..50 {
                Talk::ask(&stream, b"x").unwrap();
            }
            start.elapsed()
        });
    }
}

#[test]
fn ten_gibibytes_each_way_arrive_as_they_were_sent() {
    ten_gibibytes_each_way(Family::V4);
}

#[test]
fn ten_gibibytes_each_way_arrive_as_they_were_sent_over_ipv6() {
    ten_gibibytes_each_way(Family::V6);
}

/// Half of them on one node, half between two.
fn ten_gibibytes_each_way(family: Family) {
    let paths = Paths::to(App::Echo);
    let length = TEN_GIBIBYTES / 2;
    for (pod, _) in &paths.servers {
        let stream = paths.client.connect(pod.addresses().at(family, 8080)).unwrap();
        stream.set_read_timeout(Some(BULK_PATIENCE)).unwrap();
        stream.set_write_timeout(Some(BULK_PATIENCE)).unwrap();
        let (sent, checked) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                Talk::send_pattern(&stream, length)?;
                stream.shutdown(Shutdown::Write)
            });
            let checked = Talk::check_pattern(&stream);
            (sender.join().unwrap(), checked)
        });
        let received = checked.unwrap_or_else(|error| panic!("{error}; sent: {sent:?}\n{}", paths.sockets(pod)));
        assert_eq!(received, length);
    }
    assert_eq!(record_from(&paths.mesh.agents[0], &paths.client)["bytes_sent"], length);
}

/// A send and a receive buffer of 1 MiB on each of three legs at most, the agents' own, and what the kernel's accounting of
/// buffers leaves out.
const MOST_UNDER_WAY: usize = 16 << 20;

/// What is lost on the way under load waits for TCP's timer, which doubles each time (RFC 6298, 5.5): half a minute at
/// the fifth loss. Bytes that are forgotten never come.
const BULK_PATIENCE: Duration = Duration::from_mins(1);

const TEN_GIBIBYTES: u64 = 10 << 30;

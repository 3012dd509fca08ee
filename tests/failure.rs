//! What holds while an agent is away: SIGTERM, SIGKILL, and coming back.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use harness::{App, BpfIds, Family, Pod, Sniffer, Talk, Way, wait};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::mesh::{Mesh, Single, is_captured, opened, pins, wait_captured, wait_released};

/// How old a heartbeat may be before pods that fail open pass by.
const HEARTBEAT: Duration = Duration::from_secs(2);

#[test]
fn sigterm_serves_what_was_accepted_to_its_end_and_then_ends_well() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    let streams = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    streams
        .iter()
        .for_each(|stream| assert_eq!(Talk::ask(stream, b"before").unwrap(), b"before"));

    let [agent, _far] = mesh.agents;
    agent.signal(Signal::SIGTERM);
    wait::until(wait::PATIENCE, "not ready any more", || !agent.ready());
    streams
        .iter()
        .for_each(|stream| assert_eq!(Talk::ask(stream, b"after").unwrap(), b"after"));
    drop(streams);
    let (_, status) = agent.terminate(wait::PATIENCE);
    assert!(status.success(), "{status}");
}

#[test]
fn sigterm_serves_new_connections_beside_what_was_accepted_and_lets_them_pass_by_at_last() {
    let mesh = Single::start_with(&["--drain", "4s"]);
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    let held = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
    assert_eq!(Talk::ask(&held, b"x").unwrap(), b"x");
    let passes_by = || {
        let to = server.addresses().at(Family::V6, 8080);
        let stream = client.dial(to).timeout(Duration::from_millis(300)).connect().ok()?;
        Talk::ask(&stream, b"x").ok()?;
        Some(app.peers().last() == stream.local_addr().ok().as_ref())
    };
    mesh.agent.signal(Signal::SIGTERM);
    wait::until(wait::PATIENCE, "not ready any more", || !mesh.agent.ready());
    assert_eq!(passes_by(), Some(false), "the agent carries it");
    wait::until(wait::PATIENCE, "a connection that passes by", || {
        passes_by() == Some(true)
    });
    assert_eq!(Talk::ask(&held, b"still served").unwrap(), b"still served");
}

#[test]
fn the_drain_time_bounds_what_sigterm_waits_for() {
    let mesh = Single::start_with(&["--drain", "1s"]);
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    let stream = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
    assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");
    let start = Instant::now();
    let Single { mut agent, .. } = mesh;
    agent.signal(Signal::SIGTERM);
    agent.wait_end(Duration::from_secs(5));
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(Talk::ask(&stream, b"x").is_err());
    agent.record("the cut", |record| record["reason"] == "drained");
}

#[test]
fn a_new_agent_adopts_what_the_killed_one_pinned() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("closed/server"));
    let _app = server.serve(8080, App::Echo);
    let before = BpfIds::pinned(&mesh.node.pins());
    assert!(!before.links.is_empty() && !before.maps.is_empty() && !before.programs.is_empty());

    let agent = mesh.agent.kill().start();
    [&client, &server]
        .into_iter()
        .for_each(|pod| wait_captured(&mesh.node, pod));
    assert_eq!(BpfIds::pinned(&mesh.node.pins()), before);
    let stream = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
    assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    assert_eq!(opened(&agent), 1);
}

#[test]
fn connections_of_a_pod_that_fails_closed_wait_for_the_next_agent() {
    let mut mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    mesh.agent.signal(Signal::SIGKILL);
    mesh.agent.wait_end(wait::PATIENCE);
    thread::scope(|scope| {
        let waiting = Family::BOTH.map(|family| {
            let (client, to) = (&client, server.addresses().at(family, 8080));
            scope.spawn(move || client.connect(to).and_then(|stream| Talk::ask(&stream, b"hello")))
        });
        wait::until(wait::PATIENCE, "two SYNs sent", || states(&client, SYN_SENT) == 2);
        assert_eq!(app.accepted(), 0);
        mesh.agent.restart();
        for connection in waiting {
            assert_eq!(connection.join().unwrap().unwrap(), b"hello");
        }
        assert_eq!(opened(&mesh.agent), 2);
    });
}

#[test]
fn a_client_whose_agent_died_within_the_handshake_is_told_by_the_next_one() {
    let mut mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let _apps = [&client, &server].map(|pod| pod.serve(8080, App::Echo));
    // What a pod opens to itself is marked too, and has its other end.
    let whole = Family::BOTH.map(|family| client.connect(client.addresses().at(family, 8080)).unwrap());
    client.netns().sh("nft add table inet weft\n\
         nft 'add chain inet weft out { type filter hook output priority 0; }'\n\
         nft 'add rule inet weft out tcp dport 8080 tcp flags & (syn | ack) == ack drop'");
    let halves = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    mesh.agent.signal(Signal::SIGKILL);
    mesh.agent.wait_end(wait::PATIENCE);
    client.netns().sh("nft delete table inet weft");

    mesh.agent.restart();
    for half in halves {
        let told = Talk::hear(half).unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::ConnectionAborted, "{told}");
    }
    for stream in whole {
        assert_eq!(Talk::ask(&stream, b"still there").unwrap(), b"still there");
    }
    assert_eq!(opened(&mesh.agent), 0);
}

#[test]
fn connections_of_a_pod_that_fails_closed_are_not_refused_while_its_agent_is_dead() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    let _launch = mesh.agent.kill();
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let waiting = client.dial(to).timeout(Duration::from_millis(500)).connect();
        assert_eq!(waiting.unwrap_err().kind(), io::ErrorKind::TimedOut, "{family:?}");
    }
}

#[test]
fn connections_of_a_pod_that_fails_open_pass_by_after_two_seconds() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    let killed = Instant::now();
    let _launch = mesh.agent.kill();
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        wait::until(2 * HEARTBEAT, "a connection that passes by", || {
            let Ok(stream) = client.dial(to).timeout(Duration::from_millis(100)).connect() else {
                return false;
            };
            assert!(killed.elapsed() > HEARTBEAT / 2, "the agent could have been back");
            Talk::ask(&stream, b"x").is_ok() && app.peers().last() == stream.local_addr().ok().as_ref()
        });
    }
    assert!(killed.elapsed() < 2 * HEARTBEAT, "{:?}", killed.elapsed());
}

#[test]
fn an_agent_that_hangs_is_passed_by_as_a_dead_one_is() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    mesh.agent.signal(Signal::SIGSTOP);
    for family in Family::BOTH {
        wait::until(2 * HEARTBEAT, "a connection that passes by", || {
            let to = server.addresses().at(family, 8080);
            let Ok(stream) = client.dial(to).timeout(Duration::from_millis(100)).connect() else {
                return false;
            };
            Talk::ask(&stream, b"x").is_ok() && app.peers().last() == stream.local_addr().ok().as_ref()
        });
    }
    mesh.agent.signal(Signal::SIGCONT);
    wait::until(wait::PATIENCE, "captured again", || {
        let stream = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
        Talk::ask(&stream, b"x").is_ok() && app.peers().last() != stream.local_addr().ok().as_ref()
    });
}

#[test]
fn connections_to_a_pod_pass_by_or_not_as_its_namespace_says() {
    let mesh = Single::start();
    let (open, closed) = (mesh.pod("mesh/open"), mesh.pod("closed/closed"));
    let client = mesh.plain("client");
    let apps = [&open, &closed].map(|pod| pod.serve(8080, App::Echo));
    let launch = mesh.agent.kill();
    for family in Family::BOTH {
        let stream = client.connect(open.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        let silent = client
            .dial(closed.addresses().at(family, 8080))
            .timeout(Duration::from_millis(500))
            .connect();
        assert!(silent.is_err());
    }
    assert_eq!(apps.each_ref().map(harness::Server::accepted), [2, 0]);

    let _agent = launch.start();
    for family in Family::BOTH {
        let stream = client.connect(closed.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
}

#[test]
fn a_flood_of_connections_sends_no_syn_while_the_agent_of_a_pod_that_fails_closed_is_dead() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let app = server.serve(8080, App::Echo);
    let launch = mesh.agent.kill();
    let sniffer = Sniffer::start(client.netns(), "eth0");
    let flood = |count: usize| -> Vec<Socket> {
        let to = Family::BOTH.map(|family| server.addresses().at(family, 8080));
        client.run(|| to.iter().cycle().take(count).map(|to| begin(*to)).collect())
    };
    let mut sockets = flood(1_000);
    // The heartbeat dies meanwhile, and the second half must not be let go by that.
    wait::holds(HEARTBEAT + Duration::from_secs(1), "no SYN leaves", || {
        sniffer.count(|packet| packet.is_syn()) == 0
    });
    sockets.extend(flood(1_000));
    wait::holds(Duration::from_secs(2), "no SYN leaves", || {
        sniffer.count(|packet| packet.is_syn()) == 0
    });
    assert_eq!(app.accepted(), 0);
    assert_eq!(sniffer.count(|packet| packet.way == Way::Out && !packet.is_udp()), 0);
    drop(sockets);
    drop(launch);
}

#[test]
fn pods_that_came_and_went_meanwhile_are_as_they_should_be_when_the_agent_is_back() {
    let mesh = Single::start();
    mesh.lab.manifests().enrolled("other");
    let (stays, goes, leaves) = (mesh.pod("mesh/stays"), mesh.pod("mesh/goes"), mesh.pod("other/leaves"));
    let gone = pins(&mesh.node, &goes);
    let launch = mesh.agent.kill();
    drop(goes);
    mesh.lab.manifests().plain("other");
    let comes = mesh.node.pod("mesh/comes").start();

    let agent = launch.start();
    wait_captured(&mesh.node, &comes);
    wait_captured(&mesh.node, &stays);
    wait_released(&mesh.node, &leaves);
    wait::until(wait::PATIENCE, "the gone pod's pins gone", || !gone.exists());
    drop(agent);
}

#[test]
fn an_agent_that_dies_again_and_again_leaves_capture_as_it_was() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    let before = BpfIds::pinned(&mesh.node.pins());
    let mut launch = mesh.agent.kill();
    for _ in 0..5 {
        let agent = launch.start();
        let stream = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        launch = agent.kill();
        assert!(Talk::ask(&stream, b"hello").is_err());
    }
    assert_eq!(BpfIds::pinned(&mesh.node.pins()), before);
    assert!(!is_captured(&mesh.node, &client), "listeners end with their process");
}

/// Begins a connection without waiting for it.
fn begin(to: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("descriptors are left");
    socket.set_nonblocking(true).expect("a socket may be non-blocking");
    let begun = socket.connect(&to.into());
    assert!(begun.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EINPROGRESS)));
    socket
}

/// How many TCP sockets of the pod are in this state.
pub(crate) fn states(pod: &Pod, state: &str) -> usize {
    let text = pod.netns().sh("cat /proc/net/tcp /proc/net/tcp6");
    text.lines()
        .filter(|line| line.split_whitespace().nth(3) == Some(state))
        .count()
}

/// `TCP_SYN_SENT` of net/tcp_states.h.
pub(crate) const SYN_SENT: &str = "02";

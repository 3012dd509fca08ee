//! `denyUdpEgress`: datagrams of enrolled pods stay in the cluster, by connect() and by sendto().

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use harness::{Addresses, Family, Object, Pod, wait};
use serde_json::json;

use crate::mesh::Single;

#[test]
fn datagrams_leave_the_cluster_until_the_mesh_forbids_it() {
    let mesh = Single::start();
    let (inside, outside) = (mesh.pod("mesh/client"), mesh.plain("client"));
    let peer = mesh.pod("mesh/peer");
    let _peer_app = peer.serve_udp(PORT);
    let _outer_apps = Family::BOTH.map(|family| mesh.node.serve_udp(mesh.node.addresses().at(family, PORT)));
    let far = |family| mesh.node.addresses().at(family, PORT);
    let near = |family| peer.addresses().at(family, PORT);
    for (family, how) in cases() {
        for (pod, to) in [(&inside, far(family)), (&inside, near(family)), (&outside, far(family))] {
            echo(pod, to, how).unwrap_or_else(|error| panic!("{to} {how:?}: {error}"));
        }
    }

    forbid(&mesh, &inside, far(Family::V4));
    for (family, how) in cases() {
        refused(&inside, far(family), how);
        for (pod, to) in [(&inside, near(family)), (&outside, far(family))] {
            echo(pod, to, how).unwrap_or_else(|error| panic!("{to} {how:?}: {error}"));
        }
    }

    mesh.apply(&Object::mesh_config(json!({ "denyUdpEgress": false })));
    wait::until(wait::PATIENCE, "datagrams leave again", || {
        echo(&inside, far(Family::V4), How::Send).is_ok()
    });
    for (family, how) in cases() {
        echo(&inside, far(family), how).unwrap_or_else(|error| panic!("{family:?} {how:?}: {error}"));
    }
}

#[test]
fn loopback_multicast_services_and_questions_to_resolvers_are_not_outside() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/client");
    let service = Addresses::service(9);
    mesh.apply(&Object::service("mesh/web", service, "web").port("main", 80, 8080));
    forbid(&mesh, &pod, mesh.node.addresses().at(Family::V4, PORT));
    let groups: [SocketAddr; 2] = ["224.0.0.251:5353", "[ff02::fb]:5353"].map(|group| group.parse().unwrap());
    for (family, group) in Family::BOTH.into_iter().zip(groups) {
        let resolver = mesh.node.addresses().at(family, 53);
        for to in [Addresses::LOOPBACK.at(family, PORT), service.at(family, PORT), resolver] {
            for how in How::BOTH {
                send(&pod, to, how).unwrap_or_else(|error| panic!("{to} {how:?}: {error}"));
            }
        }
        // Where it has no route, it is the network that says so.
        let sent = send(&pod, group, How::Send).map_err(|error| error.kind());
        assert_ne!(sent.err(), Some(ErrorKind::PermissionDenied), "{group}");
    }
}

#[test]
fn what_is_refused_is_counted() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/client");
    let outside = mesh.node.addresses().at(Family::V6, PORT);
    forbid(&mesh, &pod, outside);
    let before = denied(&mesh);
    for how in How::BOTH {
        refused(&pod, outside, how);
    }
    assert_eq!(denied(&mesh), before + 2);
}

#[test]
fn a_dead_agent_and_one_that_has_left_forbid_still() {
    for name in ["mesh/client", "closed/client"] {
        let mut mesh = Single::start();
        let pod = mesh.pod(name);
        let outside = mesh.node.addresses();
        forbid(&mesh, &pod, outside.at(Family::V4, PORT));
        let all_refused = || cases().for_each(|(family, how)| refused(&pod, outside.at(family, PORT), how));

        let launch = mesh.agent.kill();
        all_refused();
        mesh.agent = launch.start();
        crate::mesh::wait_captured(&mesh.node, &pod);
        all_refused();
        let (_launch, _status) = mesh.agent.terminate(wait::PATIENCE);
        all_refused();
    }
}

/// How a datagram is sent.
#[derive(Clone, Copy, Debug)]
enum How {
    /// By a socket that is connected.
    Connect,
    /// By one that is not.
    Send,
}

// === impl How ===

impl How {
    const BOTH: [Self; 2] = [Self::Connect, Self::Send];
}

fn cases() -> impl Iterator<Item = (Family, How)> {
    Family::BOTH
        .into_iter()
        .flat_map(|family| How::BOTH.map(|how| (family, how)))
}

/// Forbids datagrams out of the cluster, and waits until it is so.
fn forbid(mesh: &Single, pod: &Pod, outside: SocketAddr) {
    mesh.apply(&Object::mesh_config(json!({ "denyUdpEgress": true })));
    wait::until(wait::PATIENCE, "datagrams are refused", || {
        send(pod, outside, How::Send).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    });
}

fn refused(pod: &Pod, to: SocketAddr, how: How) {
    let error = send(pod, to, how).expect_err("it is outside");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{to} {how:?}: {error}");
}

fn send(pod: &Pod, to: SocketAddr, how: How) -> io::Result<UdpSocket> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = pod.run(|| UdpSocket::bind(any))?;
    match how {
        How::Connect => {
            socket.connect(to)?;
            socket.send(b"hello")?;
        }
        How::Send => {
            socket.send_to(b"hello", to)?;
        }
    }
    Ok(socket)
}

fn echo(pod: &Pod, to: SocketAddr, how: How) -> io::Result<()> {
    let socket = send(pod, to, how)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = [0; 16];
    let (length, _) = socket.recv_from(&mut answer)?;
    assert_eq!(&answer[..length], b"hello");
    Ok(())
}

fn denied(mesh: &Single) -> u64 {
    let dump = mesh.agent.debug(&["map", "dump", "COUNTERS"]);
    let counters = dump.as_array().expect("a dump is a list").iter();
    let mut denied = counters.filter(|entry| entry["key"]["reason"] == "udp_egress_denied");
    denied
        .next()
        .and_then(|entry| entry["value"]["count"].as_u64())
        .expect("the reason has a counter")
}

const PORT: u16 = 9999;

//! A pod that is root over its own namespace can leave the mesh, which is seen; it harms nobody else.

use std::io;

use agent_common::mark::{CAPTURED, OURS, RULE_PREFERENCE, TABLE};
use harness::{App, Family, Pod, Talk, wait};

use crate::mesh::{Mesh, Single, listening, opened};

#[test]
fn a_pod_that_deletes_its_rules_is_shown_as_drift_and_harms_nobody_else() {
    let mesh = Mesh::start();
    let [hostile, client] = ["mesh/hostile", "mesh/client"].map(|name| mesh.pod(0, name));
    let server = mesh.pod(1, "mesh/server");
    let _app = server.serve(8080, App::Echo);
    let launch = mesh.agents[0].launch();
    assert_eq!(launch.weft(&["debug", "pod", "check"]).code, Some(0));

    drop_rules(&hostile);
    let check = launch.weft(&["debug", "pod", "check"]);
    assert_eq!(check.code, Some(3), "{check:?}");
    assert!(
        check.stdout.contains("hostile") && !check.stdout.contains("client"),
        "{check:?}"
    );
    for family in Family::BOTH {
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
    assert_eq!(opened(&mesh.agents[0]), 2);
}

#[test]
fn a_pod_that_leaves_the_mesh_is_still_received_by_the_servers_agent() {
    let mesh = Mesh::start();
    let hostile = mesh.pod(0, "mesh/hostile");
    let server = mesh.pod(1, "mesh/server");
    let _app = server.serve(8080, App::Echo);
    drop_rules(&hostile);
    for (count, family) in (1..).zip(Family::BOTH) {
        let stream = hostile
            .dial(server.addresses().at(family, 8080))
            .mark(OURS)
            .connect()
            .unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(opened(&mesh.agents[1]), count, "enforcement is at the destination");
    }
}

#[test]
fn forged_marks_do_not_open_the_way_to_an_application_of_the_same_node() {
    let mesh = Single::start();
    let (hostile, server) = (mesh.pod("mesh/hostile"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    drop_rules(&hostile);
    let mut count = 0;
    for family in Family::BOTH {
        for mark in [OURS, CAPTURED, OURS | CAPTURED] {
            let stream = hostile
                .dial(server.addresses().at(family, 8080))
                .mark(mark)
                .connect()
                .unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            count += 1;
            assert_eq!(
                opened(&mesh.agent),
                count,
                "mark {mark:#x} over {family:?} passed the agent by"
            );
        }
    }
}

#[test]
fn a_forged_mark_on_a_pod_outside_the_mesh_changes_nothing() {
    let mesh = Single::start();
    let (plain, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for (count, mark) in (1..).zip([OURS, CAPTURED, OURS | CAPTURED]) {
        let stream = plain
            .dial(server.addresses().at(Family::V4, 8080))
            .mark(mark)
            .connect()
            .unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(opened(&mesh.agent), count);
    }
}

#[test]
fn a_pod_cannot_take_the_agents_listener_ports_of_another() {
    let mesh = Single::start();
    let (hostile, server) = (mesh.pod("mesh/hostile"), mesh.pod("mesh/server"));
    for listener in listening(&server) {
        let to = server.addresses().at(
            if listener.is_ipv4() { Family::V4 } else { Family::V6 },
            listener.port(),
        );
        let refused = hostile
            .connect(to)
            .and_then(Talk::hear)
            .expect_err("nothing of the application listens there");
        let kinds = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&refused.kind()), "{refused}");
    }
}

#[test]
fn a_pod_reaches_neither_the_agents_admin_port_nor_its_socket() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    for family in Family::BOTH {
        for address in [mesh.node.addresses(), mesh.node.gateway()] {
            let refused = pod.connect(address.at(family, 15_020)).and_then(Talk::hear);
            assert!(refused.is_err(), "{address:?}: {refused:?}");
        }
        let local = pod.connect(harness::Addresses::LOOPBACK.at(family, 15_020));
        assert_eq!(local.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&mesh.agent.launch().socket().metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let abstract_sockets = pod.netns().sh("cat /proc/net/unix");
    assert!(!abstract_sockets.contains("weft"), "{abstract_sockets}");
}

#[test]
fn a_pod_that_floods_its_own_rules_and_routes_is_not_repaired_into_a_loop() {
    let mesh = Single::start();
    let (hostile, other) = (mesh.pod("mesh/hostile"), mesh.pod("mesh/other"));
    let server = mesh.plain("server");
    let _app = server.serve(8080, App::Echo);
    for _ in 0..20 {
        drop_rules(&hostile);
        hostile.netns().ip("link set eth0 down\nlink set eth0 up\n");
        let stream = other.connect(server.addresses().at(Family::V4, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
    wait::until(
        wait::PATIENCE,
        format!("records of {}", other.object().full_name()),
        || mesh.agent.records().len() == 20,
    );
}

/// What root of the pod's own namespace can do.
fn drop_rules(pod: &Pod) {
    let mut commands = String::new();
    for family in ["-4", "-6"] {
        commands += &format!("ip {family} rule del pref {RULE_PREFERENCE}; ip {family} route flush table {TABLE};");
    }
    // The agent may be quicker in putting them back.
    pod.netns().sh(&format!("({commands}) 2>/dev/null || true"));
}

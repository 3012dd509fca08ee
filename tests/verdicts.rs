//! What the kernel programs decide, row by row, where other tests do not show it: told by their own counters.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use harness::{App, Dial, Family, Pod, Talk};

use crate::{
    counts::{Counts, DUMP},
    mesh::{Mesh, Single},
};

#[test]
fn a_connection_from_outside_the_mesh_is_inbound_and_one_leg() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let before = counts(&mesh);
        hello(&client, server.addresses().at(family, 8080));
        assert_eq!(
            before.rise(&counts(&mesh)),
            [("inbound", 1), ("leg_passed", 1), ("leg_recorded", 1)],
            "{family:?}"
        );
    }
}

#[test]
fn a_connection_to_outside_the_mesh_is_marked_and_outbound() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let before = counts(&mesh);
        hello(&client, server.addresses().at(family, 8080));
        // Whether an agent is there is asked once the agent's own CA has given the mesh an id.
        let after = counts(&mesh);
        let mut rise = before.rise(&after);
        rise.retain(|(count, _)| *count != "asked");
        assert_eq!(rise, [("marked", 1), ("outbound", 1)], "{family:?}");
    }
}

#[test]
fn what_a_pod_says_to_itself_is_given_to_nobody_else() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let _app = pod.serve(8080, App::Echo);
    for (family, loopback) in Family::BOTH.into_iter().zip(["127.0.0.1:8080", "[::1]:8080"]) {
        let before = counts(&mesh);
        hello(&pod, pod.addresses().at(family, 8080));
        hello(&pod, loopback.parse().unwrap());
        assert_eq!(
            before.rise(&counts(&mesh)),
            [("marked", 1), ("never_captured", 1)],
            "{family:?}"
        );
    }
}

#[test]
fn without_a_listener_nothing_captured_reaches_the_pods_own_server_of_that_port() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("closed/client"), mesh.plain("server"));
    let apps = [&client, &server].map(|pod| pod.serve(8080, App::Echo));
    let launch = mesh.agent.kill();
    let before = Counts::of(&launch.debug(DUMP));
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let waiting = client.dial(to).timeout(Duration::from_millis(500)).connect();
        assert_eq!(waiting.unwrap_err().kind(), ErrorKind::TimedOut, "{family:?}");
    }
    assert_eq!(apps.each_ref().map(harness::Server::accepted), [0, 0]);
    assert_eq!(
        before.rise(&Counts::of(&launch.debug(DUMP))),
        [("marked", 2), ("outbound_no_listener", 2)]
    );
}

#[test]
fn a_pod_that_fails_closed_hears_its_own_refusals() {
    let mesh = Single::start();
    let pod = mesh.pod("closed/pod");
    let _app = pod.serve(8080, App::Echo);
    for family in Family::BOTH {
        hello(&pod, pod.addresses().at(family, 8080));
        let refused = pod.connect(pod.addresses().at(family, 8081));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{family:?}");
    }
}

#[test]
fn an_address_that_is_led_to_a_pod_and_is_not_its_own_reaches_nobody() {
    let mesh = Single::start();
    let pods = [mesh.plain("plain"), mesh.pod("mesh/captured")];
    let foreign: [SocketAddr; 2] = ["198.51.100.7:8080", "[2001:db8:51::7]:8080"].map(|to| to.parse().unwrap());
    for (pod, reached) in pods.iter().zip([true, false]) {
        let app = pod.serve(8080, App::Echo);
        pod.netns()
            .ip("route add local 198.51.100.0/24 dev lo\nroute add local 2001:db8:51::/64 dev lo\n");
        for (family, to) in Family::BOTH.into_iter().zip(foreign) {
            let way = format!(
                "route replace {} via {} dev cni0\n",
                to.ip(),
                pod.addresses().of(family)
            );
            mesh.node.netns().ip(&way);
            let before = counts(&mesh);
            let connected = Dial::new(mesh.node.netns(), to)
                .timeout(Duration::from_secs(1))
                .connect();
            assert_eq!(connected.is_ok(), reached, "{to}");
            let stray = before.rise(&counts(&mesh)).iter().any(|(reason, _)| *reason == "stray");
            assert_eq!(stray, !reached, "{to}");
        }
        assert_eq!(app.accepted(), if reached { 2 } else { 0 });
    }
}

#[test]
fn a_connection_between_nodes_is_outbound_at_one_and_inbound_at_the_other() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    let both = || mesh.agents.each_ref().map(|agent| Counts::of(&agent.debug(DUMP)));
    for family in Family::BOTH {
        let before = both();
        hello(&client, server.addresses().at(family, 8080));
        let after = both();
        assert_eq!(
            before[0].rise(&after[0]),
            [("asked", 1), ("marked", 1), ("outbound", 1)],
            "{family:?}"
        );
        assert_eq!(
            before[1].rise(&after[1]),
            [("inbound", 1), ("leg_passed", 1), ("leg_recorded", 1)],
            "{family:?}"
        );
    }
}

fn counts(mesh: &Single) -> Counts {
    Counts::of(&mesh.agent.debug(DUMP))
}

fn hello(from: &Pod, to: SocketAddr) {
    let stream = from.connect(to).unwrap();
    assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
}

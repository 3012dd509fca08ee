//! The end of pods, and what comes after them at the same address; what a network between nodes lets pass.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
    time::{Duration, SystemTime},
};

use cluster::Node;
use harness::{Family, skip, wait};

use crate::{
    workload::{HTTP, LINES, Pod},
    world::{PATIENCE, World, node_of, simulated},
};

#[test]
fn a_pod_that_ends_is_served_until_it_is_gone() {
    let world = World::strict();
    let serve = ["serve", "--http=8080", "--drain=4s"];
    let server = Pod::running("server", &serve).on("node-2");
    world.start(&[server.spec(&serde_json::json!({"terminationGracePeriodSeconds": 20}))]);
    world.apply(&Pod::caller("caller", &world.http("server")).on("node-1").object());
    world.until_calls("caller", true);

    let deleted = SystemTime::now();
    world.run(&["delete", "pod", "server", "--wait=false"]).unwrap();
    world.until_calls("caller", false);
    let calls = world.calls("caller");
    let failed = calls
        .iter()
        .find(|call| call.at > deleted && call.outcome.is_err())
        .unwrap();
    let served = failed.at.duration_since(deleted).unwrap();
    assert!(served > Duration::from_millis(3500), "{served:?}: {failed:?}");
}

#[test]
fn the_next_pod_at_an_address_is_itself_and_not_the_one_before() {
    let Some(cluster) = simulated() else {
        skip!("which addresses pods get is not ours to say");
    };
    let node = node_of(&cluster, "node-2");
    let world = World::strict();
    world.start(&[Pod::new("first").on("node-2"), Pod::new("client").on("node-1")]);
    let target = world.http("first");
    let address = world.address("first", Family::V4);
    assert_eq!(world.call("client", &target).unwrap().pod, "first");
    world.run(&["delete", "pod", "first"]).unwrap();
    let mut born = 0;
    // Others take addresses meanwhile.
    wait::until(PATIENCE, "another pod at the address", || {
        born += 1;
        let name = format!("next-{born}");
        give_next(&node, address);
        world.start(&[Pod::new(&name).on("node-2")]);
        world.address(&name, Family::V4) == address
    });
    assert_eq!(world.call("client", &target).unwrap().pod, format!("next-{born}"));
}

/// No controller of NetworkPolicies runs in the simulated cluster: what it would do on a node is done by hand, in the
/// packet filter.
#[test]
fn what_a_packet_filter_says_of_original_ports_holds_between_pods_of_the_mesh() {
    let Some(cluster) = simulated() else {
        skip!("the nodes' packet filters are not ours to change");
    };
    let node = node_of(&cluster, "node-2");
    let world = World::strict();
    world.start(&[Pod::new("server").on("node-2"), Pod::new("client").on("node-1")]);
    let [from, to] = ["client", "server"].map(|pod| world.address(pod, Family::V4));
    let _only = Filter::drop_but(&node, from, to, HTTP);
    assert_eq!(world.call("client", &world.http("server")).unwrap().pod, "server");
    let other = format!("tcp://{}", SocketAddr::new(to, LINES));
    assert!(world.call("client", &other).is_err());
}

/// A rule of a node's packet filter, until it is dropped.
struct Filter {
    netns: String,
    rule: Vec<String>,
}

// === impl Filter ===

impl Filter {
    /// Lets nothing of TCP pass from one address to the other but to this port.
    fn drop_but(node: &Node, from: IpAddr, to: IpAddr, port: u16) -> Self {
        let first = node.machine.first_process().expect("the node runs");
        let rule = format!("FORWARD -s {from} -d {to} -p tcp ! --dport {port} -j DROP");
        let filter = Self {
            netns: format!("--net=/proc/{first}/ns/net"),
            rule: rule.split(' ').map(str::to_owned).collect(),
        };
        filter.tell("-I");
        filter
    }

    fn tell(&self, what: &str) {
        let mut iptables = Command::new("nsenter");
        iptables.args([&self.netns, "iptables", what]).args(&self.rule);
        let status = iptables.status().expect("nsenter is there");
        assert!(status.success(), "{iptables:?}");
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.tell("-D");
    }
}

/// Has the node give this address to its next pod: `host-local` goes on from the one it gave last.
fn give_next(node: &Node, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        panic!("{address} is no IPv4 address");
    };
    let last = std::net::Ipv4Addr::from(u32::from(address) - 1);
    let file = node
        .machine
        .inside("/var/lib/cni/networks/pods/last_reserved_ip.0")
        .unwrap();
    fs::write(file, last.to_string()).unwrap();
}

//! The kubelet's probes reach the application itself; nothing else that runs on the node does.

use std::net::SocketAddr;

use harness::{App, Cgroup, Family, Lab, Node, Pod, Server, wait};

use crate::mesh::{opened, wait_captured};

/// A node whose agent knows a kubelet's cgroup, and a pod whose port 8080 is probed.
struct Probed {
    app: Server,
    pod: Pod,
    agent: harness::Agent,
    kubelet: Cgroup,
    node: Node,
    _lab: Lab,
}

impl Probed {
    fn start(name: &str) -> Self {
        let lab = Lab::new();
        lab.manifests().enrolled("mesh");
        let node = lab.node("one");
        let kubelet = Cgroup::create(name);
        let path = kubelet.path().display().to_string();
        let agent = node.agent().arguments(&["--kubelet-cgroup", &path]).start();
        let pod = node.pod("mesh/pod").probe(8080).start();
        wait_captured(&node, &pod);
        // The server closes first: no client keeps its tuple in TIME_WAIT.
        let app = pod.serve(8080, App::CloseFirst);
        Self {
            app,
            pod,
            agent,
            kubelet,
            node,
            _lab: lab,
        }
    }

    /// Connects from a process of the node in or out of the kubelet's cgroup, and hears an echo.
    fn call(&self, to: SocketAddr, join: &str) {
        let (ip, port) = (to.ip(), to.port());
        // bash is a process of its own: a thread cannot leave its process's cgroup.
        let talk = format!(
            "{join} exec bash -ec 'exec 3<>/dev/tcp/{ip}/{port}; printf x >&3; read -t 5 -n 1 -u 3; ! read -t 5 -u 3'"
        );
        self.node.netns().sh(&talk);
    }
}

#[test]
fn the_kubelets_probe_passes_without_the_agent() {
    let probed = Probed::start("kubelet-passes");
    for family in Family::BOTH {
        probed.call(probed.pod.addresses().at(family, 8080), &probed.kubelet.join());
        assert_eq!(
            probed.app.peers().last().unwrap().ip(),
            probed.node.gateway().of(family)
        );
    }
    assert_eq!((probed.app.accepted(), opened(&probed.agent)), (2, 0));
}

#[test]
fn another_process_of_the_node_is_no_kubelet() {
    let probed = Probed::start("kubelet-other");
    for family in Family::BOTH {
        probed.call(probed.pod.addresses().at(family, 8080), "");
    }
    assert_eq!((probed.app.accepted(), opened(&probed.agent)), (2, 2));
}

#[test]
fn the_kubelet_reaches_ports_that_are_not_probed_through_the_agent() {
    let probed = Probed::start("kubelet-port");
    let _app = probed.pod.serve(8081, App::CloseFirst);
    for family in Family::BOTH {
        probed.call(probed.pod.addresses().at(family, 8081), &probed.kubelet.join());
    }
    assert_eq!(opened(&probed.agent), 2);
}

#[test]
fn a_process_of_the_kubelets_cgroup_in_another_namespace_is_no_kubelet() {
    let probed = Probed::start("kubelet-namespace");
    let other = probed.node.pod("plain/other").start();
    let to = probed.pod.addresses().at(Family::V4, 8080);
    let talk = "exec 3<>/dev/tcp/$ip/$port; printf x >&3; read -t 5 -n 1 -u 3; ! read -t 5 -u 3";
    let talk = talk.replace("$ip", &to.ip().to_string()).replace("$port", "8080");
    other
        .netns()
        .sh(&format!("{} exec bash -ec '{talk}'", probed.kubelet.join()));
    assert_eq!(opened(&probed.agent), 1);
}

#[test]
fn a_probe_is_one_use_only() {
    let probed = Probed::start("kubelet-once");
    let to = probed.pod.addresses().at(Family::V4, 8080);
    probed.call(to, &probed.kubelet.join());
    let from = *probed.app.peers().last().unwrap();
    // The same 4-tuple again, from a process that is no kubelet.
    wait::until(wait::PATIENCE, "the tuple free again", || {
        harness::Dial::new(probed.node.netns(), to).bind(from).connect().is_ok()
    });
    wait::until(wait::PATIENCE, "the agent in between", || opened(&probed.agent) == 1);
}

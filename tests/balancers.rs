//! Beside a load balancer of somebody else that changes destinations in connect(), as Cilium's and Calico's do: the agent
//! still sees the service's address.

use std::net::SocketAddr;

use harness::{Addresses, Agent, App, Balancer, Cgroup, Family, Lab, Node, Object, Pod, Server, wait};

use crate::mesh::wait_captured;

#[test]
fn a_services_address_is_kept_behind_a_load_balancer_that_was_there_before() {
    let mut beside = Beside::start("kept", Pods::Apart);
    let _balancer = beside.balance();
    beside.start_agent();
    for _ in 0..2 {
        for family in Family::BOTH {
            assert_eq!(beside.destination(family), beside.service(family), "{family:?}");
        }
        // The next agent adopts the arrangement.
        beside.agent.as_mut().unwrap().restart();
        wait_captured(&beside.node, &beside.client);
    }
}

#[test]
fn a_load_balancer_that_comes_later_is_followed() {
    for pods in [Pods::Apart, Pods::AmongOthers] {
        let mut beside = Beside::start("later", pods);
        beside.start_agent();
        let _balancer = beside.balance();
        for family in Family::BOTH {
            wait::until(wait::PATIENCE, "the service's address is kept", || {
                beside.destination(family) == beside.service(family)
            });
        }
        // Another one, as when it is started anew, runs behind all that is there.
        let _another = beside.balance();
        for family in Family::BOTH {
            wait::until(wait::PATIENCE, "the service's address is kept again", || {
                beside.destination(family) == beside.service(family)
            });
        }
    }
}

#[test]
fn without_a_cgroup_of_the_pods_an_earlier_load_balancer_has_its_way_and_the_log_says_so() {
    let mut beside = Beside::start("before", Pods::AmongOthers);
    let _balancer = beside.balance();
    beside.start_agent();
    for family in Family::BOTH {
        assert_eq!(beside.destination(family), beside.endpoint(family), "{family:?}");
    }
    let logged = beside.agent.as_ref().unwrap().logged();
    assert!(logged.contains("services are balanced by them"), "{logged}");
    assert!(logged.contains("balance4, balance6"), "{logged}");
}

#[test]
fn a_pod_that_passes_by_an_agent_that_left_is_balanced_as_without_weft() {
    let mut beside = Beside::start("passes", Pods::Apart);
    let _balancer = beside.balance();
    beside.start_agent();
    beside.agent.take().unwrap().terminate(wait::PATIENCE);
    for family in Family::BOTH {
        beside.call(family);
        let seen = *beside.app.seen().last().unwrap();
        assert_eq!(
            (seen.peer.ip(), seen.local),
            (beside.client.addresses().of(family), beside.endpoint(family))
        );
    }
}

#[test]
fn the_programs_of_others_are_shown_where_they_stand() {
    let mut beside = Beside::start("shown", Pods::Apart);
    let _balancer = beside.balance();
    beside.start_agent();
    let shown = beside.agent.as_ref().unwrap().debug(&["cgroup", "show"]);
    let rows: Vec<[&str; 4]> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let cgroup = row["cgroup"].as_str().unwrap().rsplit('/').next().unwrap();
            let text = |key: &str| row[key].as_str().unwrap();
            [
                if cgroup == "kubepods" { cgroup } else { "above" },
                text("attach_type"),
                text("name"),
                text("owner"),
            ]
        })
        .collect();
    for expected in [
        ["kubepods", "connect4", "connect4", "weft"],
        ["kubepods", "connect6", "connect6", "weft"],
        ["above", "connect4", "keep4", "weft"],
        ["above", "connect6", "keep6", "weft"],
        ["above", "connect4", "balance4", "other"],
        ["above", "connect6", "balance6", "other"],
    ] {
        assert!(rows.contains(&expected), "{expected:?} is not among {rows:?}");
    }
}

/// Where the pods' processes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pods {
    /// In a cgroup of their own, as a kubelet has it.
    Apart,
    /// In the cgroup to which everybody attaches.
    AmongOthers,
}

/// A client in a cgroup of its own world, and a service outside the mesh.
struct Beside {
    agent: Option<Agent>,
    app: Server,
    client: Pod,
    _server: Pod,
    endpoint: Addresses,
    pods: Option<Cgroup>,
    above: Cgroup,
    node: Node,
    _lab: Lab,
}

// === impl Beside ===

impl Beside {
    fn start(name: &str, pods: Pods) -> Self {
        let lab = Lab::new();
        lab.manifests().enrolled("mesh");
        lab.manifests().plain("plain");
        let node = lab.node("one");
        let above = Cgroup::create(&format!("{name}-{pods:?}"));
        let server = node.pod("plain/server").start();
        lab.manifests()
            .apply(&Object::service("plain/server", SERVICE, "server").port("echo", 80, 8080));
        Self {
            agent: None,
            app: server.serve(8080, App::CloseFirst),
            client: node.pod("mesh/client").start(),
            endpoint: server.addresses(),
            _server: server,
            pods: (pods == Pods::Apart).then(|| above.below("kubepods")),
            above,
            node,
            _lab: lab,
        }
    }

    fn start_agent(&mut self) {
        self.agent = Some(self.node.agent().cgroup(self.above.path()).start());
        wait_captured(&self.node, &self.client);
    }

    fn balance(&self) -> Balancer {
        Balancer::start(
            &self.above,
            &Family::BOTH.map(|family| (self.service(family), self.endpoint(family))),
        )
    }

    fn service(&self, family: Family) -> SocketAddr {
        SERVICE.at(family, 80)
    }

    fn endpoint(&self, family: Family) -> SocketAddr {
        self.endpoint.at(family, 8080)
    }

    /// Connects to the service from a process among the pods.
    fn call(&self, family: Family) {
        let (to, join) = (self.service(family), self.pods.as_ref().unwrap_or(&self.above).join());
        // bash is a process of its own: a thread cannot leave its process's cgroup.
        self.client.netns().sh(&format!(
            "{join} exec bash -ec 'exec 3<>/dev/tcp/{}/{}; printf x >&3; read -t 5 -n 1 -u 3; ! read -t 5 -u 3'",
            to.ip(),
            to.port()
        ));
    }

    /// Where the agent saw such a connection go.
    fn destination(&self, family: Family) -> SocketAddr {
        let agent = self.agent.as_ref().expect("it was started");
        let before = agent.records().len();
        self.call(family);
        let record = wait::until_some(wait::PATIENCE, "a record of the connection", || {
            agent.records().get(before).cloned()
        });
        record["original_destination"]
            .as_str()
            .and_then(|to| to.parse().ok())
            .expect("each record has one")
    }
}

/// What clients connect to.
const SERVICE: Addresses = Addresses::service(10);

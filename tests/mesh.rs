//! The usual arrangement: two nodes with an agent each, and a few namespaces.

mod web;

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
};

use agent_common::names;
use harness::{Agent, App, Ca, Lab, Node, Object, Pod, Server, wait};
use serde_json::Value;

pub(crate) use self::web::Web;

/// Two nodes with an agent each, over the namespaces `mesh` (enrolled, fails open), `closed` (enrolled, fails closed)
/// and `plain`.
pub(crate) struct Mesh {
    pub(crate) agents: [Agent; 2],
    pub(crate) nodes: [Node; 2],
    pub(crate) lab: Lab,
    pub(crate) ca: Option<Ca>,
}

/// One node with its agent over the same namespaces.
pub(crate) struct Single {
    pub(crate) agent: Agent,
    pub(crate) node: Node,
    pub(crate) lab: Lab,
}

// === impl Mesh ===

impl Mesh {
    pub(crate) fn start() -> Self {
        let lab = lab();
        let nodes = ["one", "two"].map(|name| lab.node(name));
        let mut agents = nodes.each_ref().map(|node| node.agent().spawn());
        agents.iter_mut().for_each(Agent::wait_ready);
        Self {
            agents,
            nodes,
            lab,
            ca: None,
        }
    }

    /// With a CA for both agents, so that what passes between the nodes is mutual TLS.
    pub(crate) fn start_secured() -> Self {
        Self::start_secured_by(&[])
    }

    /// With a CA that has further arguments.
    pub(crate) fn start_secured_by(arguments: &[&str]) -> Self {
        Self::start_secured_with(arguments, &[])
    }

    /// With a CA and agents that have further arguments.
    pub(crate) fn start_secured_with(arguments: &[&str], of_agents: &[&str]) -> Self {
        let lab = lab();
        let nodes = ["one", "two"].map(|name| lab.node(name));
        let ca = nodes[0].ca(arguments);
        let mut agents = nodes
            .each_ref()
            .map(|node| node.agent_of(&ca).arguments(of_agents).spawn());
        agents.iter_mut().for_each(Agent::wait_ready);
        Self {
            agents,
            nodes,
            lab,
            ca: Some(ca),
        }
    }

    /// Waits until all captured pods of both nodes have certificates.
    pub(crate) fn wait_certified(&self) {
        for agent in &self.agents {
            wait::until(CERTIFIED, "certificates", || {
                let shown = agent.debug(&["cert", "show"]);
                let rows = shown.as_array().cloned().unwrap_or_default();
                rows.iter().all(|row| row["state"] == "valid")
            });
        }
    }

    /// Starts a pod on one of the nodes and waits until it is captured.
    pub(crate) fn pod(&self, node: usize, name: &str) -> Pod {
        let pod = self.nodes[node].pod(name).start();
        wait_captured(&self.nodes[node], &pod);
        pod
    }

    /// Starts a pod with the Service's name, whose application serves the first port of that.
    pub(crate) fn serve(&self, node: usize, service: &Object, app: App) -> (Pod, Server) {
        let pod = self.pod(node, &service.full_name());
        let target = &service.value()["spec"]["ports"][0]["targetPort"];
        let port = target.as_u64().and_then(|port| port.try_into().ok());
        let server = pod.serve(port.expect("the target is a port's number"), app);
        self.apply(service);
        (pod, server)
    }

    /// A pod that is not in the mesh.
    pub(crate) fn plain(&self, node: usize, name: &str) -> Pod {
        self.nodes[node].pod(&format!("plain/{name}")).start()
    }

    pub(crate) fn apply(&self, object: &Object) {
        self.lab.manifests().apply(object);
    }
}

// === impl Single ===

impl Single {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments for the agent.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let lab = lab();
        let node = lab.node("one");
        let agent = node.agent().arguments(arguments).start();
        Self { agent, node, lab }
    }

    pub(crate) fn pod(&self, name: &str) -> Pod {
        let pod = self.node.pod(name).start();
        wait_captured(&self.node, &pod);
        pod
    }

    pub(crate) fn plain(&self, name: &str) -> Pod {
        self.node.pod(&format!("plain/{name}")).start()
    }

    pub(crate) fn apply(&self, object: &Object) {
        self.lab.manifests().apply(object);
    }
}

/// Waits until the pod's connections are captured in both directions.
pub(crate) fn wait_captured(node: &Node, pod: &Pod) {
    wait::until(wait::PATIENCE, format!("{} captured", pod.object().name()), || {
        is_captured(node, pod)
    });
}

/// Waits until nothing of the mesh is left in the pod.
pub(crate) fn wait_released(node: &Node, pod: &Pod) {
    let what = format!("{} released", pod.object().name());
    wait::until(wait::PATIENCE, what, || {
        !has_rule(pod) && listeners(pod) == 0 && !pins(node, pod).exists()
    });
}

/// Whether program, rules and listeners are there, and the last step has been taken.
pub(crate) fn is_captured(node: &Node, pod: &Pod) -> bool {
    node.captures(pod)
        && pins(node, pod)
            .join("links")
            .read_dir()
            .is_ok_and(|mut links| links.next().is_some())
        && has_rule(pod)
        && listeners(pod) >= 4
}

/// Whether the pod's namespace holds Weft's rules, for both families.
pub(crate) fn has_rule(pod: &Pod) -> bool {
    ["rule show\n", "-6 rule show\n"].iter().all(|command| {
        let rules = pod.run(|| {
            std::process::Command::new("ip")
                .args(command.split_whitespace())
                .output()
        });
        let rules = String::from_utf8(rules.expect("iproute2 is installed").stdout).expect("ip prints text");
        rules
            .lines()
            .any(|rule| rule.starts_with(&format!("{}:", agent_common::mark::RULE_PREFERENCE)))
    })
}

/// The folder of the pod's pins.
pub(crate) fn pins(node: &Node, pod: &Pod) -> std::path::PathBuf {
    node.pins().join(names::ABI).join(names::PODS).join(pod.uid())
}

/// The listeners on loopback in the pod's namespace: the agent's, unless an application listens there.
pub(crate) fn listeners(pod: &Pod) -> usize {
    listening(pod).len()
}

/// Where the agent listens in the pod's namespace.
pub(crate) fn listening(pod: &Pod) -> Vec<SocketAddr> {
    let listeners = pod.run(|| ["tcp", "tcp6"].map(listeners_of));
    listeners
        .into_iter()
        .flatten()
        .filter(|local| local.ip().is_loopback())
        .collect()
}

/// The listeners of the calling thread's namespace: the kernel lists them before all others, of which there may be many.
fn listeners_of(table: &str) -> Vec<SocketAddr> {
    let file = File::open(format!("/proc/thread-self/net/{table}")).expect("/proc is mounted");
    let sockets = BufReader::new(file).lines().map_while(Result::ok).skip(1);
    let locals = sockets.map_while(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields.get(3) == Some(&LISTEN)).then(|| fields[1].to_owned())
    });
    locals.filter_map(|local| parse_local(&local)).collect()
}

/// The records of an agent which name this pod as the source.
pub(crate) fn records_from(agent: &Agent, pod: &Pod) -> Vec<Value> {
    let name = pod.object().full_name();
    agent
        .records()
        .into_iter()
        .filter(|record| record["source_pod"] == name.as_str())
        .collect()
}

/// Waits for a record of a connection of this pod.
pub(crate) fn record_from(agent: &Agent, pod: &Pod) -> Value {
    let name = pod.object().full_name();
    agent.record(&format!("a record of {name}"), |record| {
        record["source_pod"] == name.as_str()
    })
}

/// How many connections an agent accepted so far.
pub(crate) fn opened(agent: &Agent) -> u64 {
    // A counter is a whole number.
    agent.metric("weft_connections_opened_total", &[]) as u64
}

fn lab() -> Lab {
    let lab = Lab::new();
    lab.manifests().enrolled("mesh");
    lab.manifests().enrolled_closed("closed");
    lab.manifests().plain("plain");
    lab
}

/// `0100007F:1F90`, in the byte order of the machine by words of 32 bits.
fn parse_local(local: &str) -> Option<SocketAddr> {
    let (address, port) = local.split_once(':')?;
    let words = address
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<u8> = words
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let port = u16::from_str_radix(port, 16).ok()?;
    match bytes.len() {
        4 => Some((<[u8; 4]>::try_from(bytes).ok()?, port).into()),
        16 => Some((<[u8; 16]>::try_from(bytes).ok()?, port).into()),
        _ => None,
    }
}

/// `TCP_LISTEN` of net/tcp_states.h.
const LISTEN: &str = "0A";

/// On a busy machine each step of the CA and its agents takes its time.
const CERTIFIED: std::time::Duration = std::time::Duration::from_secs(60);

//! Numbers: many short connections, many pods at once, and pods that come and go a thousand times and leave nothing.

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{App, BpfIds, Family, Node, Pod, Talk, wait};

use crate::mesh::{Mesh, Single, pins, wait_captured};

#[test]
fn thirty_thousand_short_connections_of_one_pod_to_one_port_all_succeed() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let app = server.serve(8080, App::CloseFirst);
    short_connections(&client, server.addresses().at(Family::V4, 8080));
    assert_eq!(app.accepted(), SHORT);
}

#[test]
fn thirty_thousand_short_connections_from_outside_the_mesh_to_one_port_all_succeed() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let app = server.serve(8080, App::CloseFirst);
    short_connections(&client, server.addresses().at(Family::V6, 8080));
    assert_eq!(app.accepted(), SHORT);
}

#[test]
fn a_client_that_uses_the_agents_source_ports_disturbs_nobody() {
    let mesh = Single::start();
    let (client, server) = (mesh.plain("client"), mesh.pod("mesh/server"));
    let _app = server.serve(8080, App::CloseFirst);
    for family in Family::BOTH {
        // Each takes a port out of the range from which the agent takes its own.
        for port in (10_000..32_768).step_by(97) {
            let from = client.addresses().at(family, port);
            let stream = client.dial(server.addresses().at(family, 8080)).bind(from).connect();
            let stream = stream.unwrap_or_else(|error| panic!("from {from}: {error}"));
            assert_eq!(
                Talk::ask(&stream, b"x").unwrap_or_else(|error| panic!("from {from}: {error}")),
                b"x"
            );
        }
    }
}

#[test]
fn a_namespace_of_many_pods_joins_quickly() {
    let mesh = Single::start();
    let pods: Vec<_> = (0..MANY)
        .map(|number| mesh.node.pod(&format!("plain/pod-{number}")).start())
        .collect();
    let last = pods.last().expect("there are many");
    wait::until(wait::PATIENCE, "all known", || {
        mesh.agent
            .debug(&["pod", "show"])
            .as_array()
            .is_some_and(|pods| pods.len() == MANY)
    });
    mesh.lab.manifests().enrolled("plain");
    let start = Instant::now();
    let folder = pins(&mesh.node, last).parent().expect("pods share a folder").to_owned();
    wait::until(2 * MANY_TIME, "all pinned", || {
        folder.read_dir().is_ok_and(|pods| pods.count() == MANY)
    });
    let took = start.elapsed();
    pods.iter().for_each(|pod| wait_captured(&mesh.node, pod));
    assert!(took < MANY_TIME, "{took:?}");
}

#[test]
fn pods_that_come_and_go_a_thousand_times_leave_nothing() {
    let mut mesh = Single::start();
    let [client, server] = ["mesh/client", "closed/server"].map(|name| mesh.pod(name));
    let (app, first) = (
        server.serve(8080, App::CloseFirst),
        server.addresses().at(Family::V4, 8080),
    );
    let (before, pinned) = (BpfIds::owned(&mesh.node.pins()), BpfIds::pinned(&mesh.node.pins()));
    // What the first use of anything keeps is no leak.
    cycle(&mesh, &client, first);
    assert_eq!(Talk::ask(client.connect(first).unwrap(), b"x").unwrap(), b"x");
    let descriptors = mesh.agent.descriptors();

    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The kill in between cuts one of them.
                let asked = client.connect(first).and_then(|stream| Talk::ask(&stream, b"x"));
                done.fetch_add(usize::from(asked.is_ok()), Ordering::Relaxed);
            }
        });
        // The traffic ends with this block, also when a cycle fails.
        let until_here = SetOnDrop(&stop);
        for round in 0..CYCLES / AT_ONCE {
            cycle(&mesh, &client, first);
            if round == CYCLES / AT_ONCE / 2 {
                mesh.agent.restart();
                [&client, &server]
                    .into_iter()
                    .for_each(|pod| wait_captured(&mesh.node, pod));
            }
        }
        drop(until_here);
        traffic.join().unwrap();
    });
    assert!(done.into_inner() > CYCLES, "the traffic flowed all the time");

    wait::until(SETTLING_TIME, format!("no more than {before:?}"), || {
        BpfIds::owned(&mesh.node.pins()) == before
    });
    assert_eq!(BpfIds::pinned(&mesh.node.pins()), pinned);
    wait::until(SETTLING_TIME, "no namespace is left", || witnesses(&mesh.node) == 0);
    let left = fmt::from_fn(|f| write!(f, "no more than {descriptors:?}, but {:?}", mesh.agent.descriptors()));
    wait::until(SETTLING_TIME, left, || {
        mesh.agent.descriptors().values().sum::<usize>() <= descriptors.values().sum()
    });
    drop(app);
}

#[test]
fn what_a_pod_left_idle_does_not_keep_its_namespace() {
    let mesh = Mesh::start();
    let servers = [mesh.pod(0, "mesh/near"), mesh.pod(1, "mesh/far")];
    let _apps = servers.each_ref().map(|server| server.serve(8080, App::Echo));
    let client = mesh.pod(0, "mesh/client");
    for family in Family::BOTH {
        for server in &servers {
            let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");
        }
    }
    let pods = [client];
    leave_witnesses(&mesh.nodes[0], &pods);
    drop(pods);
    // Less than the kernel tries to send a FIN to who is gone.
    wait::until(SETTLING_TIME, "no namespace is left", || witnesses(&mesh.nodes[0]) == 0);
}

/// Tells the traffic to end.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pods come, are captured, talk, and go.
fn cycle(mesh: &Single, client: &Pod, first: SocketAddr) {
    let pods: Vec<_> = (0..AT_ONCE)
        .map(|number| mesh.node.pod(&format!("mesh/cycle-{number}")).start())
        .collect();
    leave_witnesses(&mesh.node, &pods);
    for pod in &pods {
        wait_captured(&mesh.node, pod);
        let stream = pod.connect(first).unwrap();
        assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");
    }
    let app = pods[0].serve(8080, App::Stall);
    // Some go while they are spoken to.
    let _held = client.connect(pods[0].addresses().at(Family::V4, 8080)).unwrap();
    drop(app);
}

/// Ties each pod's namespace to the node by a link, which goes when the kernel destroys the namespace: one that only a
/// socket or a descriptor keeps has no name any longer.
fn leave_witnesses(node: &Node, pods: &[Pod]) {
    static WITNESSES: AtomicUsize = AtomicUsize::new(0);
    let links = pods.iter().map(|pod| {
        let number = WITNESSES.fetch_add(1, Ordering::Relaxed);
        let netns = pod.netns().name();
        format!("link add {WITNESS}{number} type veth peer name {WITNESS} netns {netns}\n")
    });
    node.netns().ip(&links.collect::<String>());
}

fn witnesses(node: &Node) -> usize {
    let links = node.netns().try_ip("link show type veth\n");
    links
        .expect("links can be listed")
        .matches(&format!(": {WITNESS}"))
        .count()
}

/// So many that the client's ports and the agent's are all used more than once; four at a time.
fn short_connections(client: &Pod, to: SocketAddr) {
    client.run(|| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || short_connections_in_turn(to, SHORT / 4)))
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
    });
}

fn short_connections_in_turn(to: SocketAddr, count: usize) {
    for number in 0..count {
        let stream = std::net::TcpStream::connect_timeout(&to, wait::PATIENCE);
        let stream = stream.unwrap_or_else(|error| panic!("connection {number}: {error}"));
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        assert_eq!(
            Talk::ask(&stream, b"x").unwrap_or_else(|error| panic!("connection {number}: {error}")),
            b"x"
        );
        // The server has closed first; so the client never keeps the tuple.
        assert_eq!(
            Talk::hear(&stream).unwrap_or_else(|error| panic!("connection {number}: {error}")),
            ""
        );
    }
}

const SHORT: usize = 30_000;
const CYCLES: usize = 1_000;
const AT_ONCE: usize = 10;

const WITNESS: &str = "witness";

/// The kernel takes namespaces and programs down in its own time.
const SETTLING_TIME: Duration = Duration::from_secs(30);

/// As many as a large node runs.
const MANY: usize = 250;

/// For a debug build on a busy machine; the benchmark holds a release build to 12 ms a pod.
const MANY_TIME: Duration = Duration::from_secs(25);

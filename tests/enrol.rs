//! Joining and leaving the mesh, at any time, with no connection harmed.

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use harness::{Agent, App, Family, Object, Pod, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::{Single, has_rule, is_captured, listeners, opened, wait_captured, wait_released};

#[test]
fn a_label_captures_new_connections_and_leaves_live_ones_alone() {
    let mesh = Single::start();
    let [client, server] = ["plain/client", "plain/server"].map(|name| mesh.node.pod(name).start());
    let app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        mesh.lab.manifests().plain("plain");
        wait_released(&mesh.node, &client);
        wait_released(&mesh.node, &server);
        let to = server.addresses().at(family, 8080);
        let before = client.connect(to).unwrap();
        assert_eq!(Talk::ask(&before, b"direct").unwrap(), b"direct");
        assert_eq!(app.peers().last().unwrap(), &before.local_addr().unwrap());

        mesh.lab.manifests().enrolled("plain");
        wait_captured(&mesh.node, &client);
        wait_captured(&mesh.node, &server);
        assert_eq!(Talk::ask(&before, b"still direct").unwrap(), b"still direct");
        let count = opened(&mesh.agent);
        let after = client.connect(to).unwrap();
        assert_eq!(Talk::ask(&after, b"captured").unwrap(), b"captured");
        assert_eq!(opened(&mesh.agent), count + 1);
    }
}

#[test]
fn without_the_label_live_connections_go_on_and_the_last_of_them_takes_the_rules_with_it() {
    let mesh = Single::start();
    mesh.lab.manifests().enrolled("other");
    let (client, server) = (mesh.pod("other/client"), mesh.pod("other/server"));
    let app = server.serve(8080, App::Echo);
    let live = Family::BOTH.map(|family| client.connect(server.addresses().at(family, 8080)).unwrap());
    live.iter()
        .for_each(|stream| assert_eq!(Talk::ask(stream, b"captured").unwrap(), b"captured"));

    mesh.lab.manifests().plain("other");
    for pod in [&client, &server] {
        wait::until(wait::PATIENCE, "the listeners leave at once", || listeners(pod) == 0);
        assert!(has_rule(pod), "live legs need the rule");
    }
    live.iter()
        .for_each(|stream| assert_eq!(Talk::ask(stream, b"goes on").unwrap(), b"goes on"));
    let count = opened(&mesh.agent);
    for family in Family::BOTH {
        let new = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&new, b"direct").unwrap(), b"direct");
        assert_eq!(app.peers().last().unwrap(), &new.local_addr().unwrap());
    }
    assert_eq!(opened(&mesh.agent), count);

    drop(live);
    wait_released(&mesh.node, &client);
    wait_released(&mesh.node, &server);
}

#[test]
fn no_connection_fails_while_a_namespace_joins_and_leaves_again_and_again() {
    let mesh = Single::start();
    mesh.lab.manifests().enrolled("other");
    let (client, server) = (mesh.pod("other/client"), mesh.pod("other/server"));
    let _app = server.serve(8080, App::CloseFirst);
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let to = Family::BOTH.map(|family| server.addresses().at(family, 8080));
    thread::scope(|scope| {
        let clients = to.map(|to| {
            let (client, stop, done) = (&client, &stop, &done);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let stream = client
                        .connect(to)
                        .unwrap_or_else(|error| panic!("connection {done:?}: {error}"));
                    let answer = Talk::ask(&stream, b"x");
                    assert_eq!(
                        answer.unwrap_or_else(|error| panic!("connection {done:?}: {error}")),
                        b"x"
                    );
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        for _ in 0..10 {
            mesh.lab.manifests().plain("other");
            wait_released(&mesh.node, &client);
            wait_released(&mesh.node, &server);
            mesh.lab.manifests().enrolled("other");
            wait_captured(&mesh.node, &client);
            wait_captured(&mesh.node, &server);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert!(done.into_inner() > 20);
}

#[test]
fn a_pods_own_label_outweighs_its_namespaces() {
    let mesh = Single::start();
    let inside = mesh.node.pod("plain/inside").label("weft.dev/mesh", "enabled").start();
    let outside = mesh.node.pod("mesh/outside").label("weft.dev/mesh", "disabled").start();
    wait_captured(&mesh.node, &inside);
    assert_eq!(reason(&mesh.agent, &inside), Value::Null);
    assert_eq!(reason(&mesh.agent, &outside), "opted_out");
    assert!(!is_captured(&mesh.node, &outside));
}

#[test]
fn pods_that_cannot_be_captured_say_why() {
    let mesh = Single::start();
    let with = |name: &str, change: fn(&mut Value)| {
        let mut pod = mesh.node.pod(&format!("mesh/{name}")).start_unannounced();
        pod.update(change);
        pod
    };
    let pods = [
        (mesh.node.pod("mesh/host").host_network().start(), "host_network"),
        (
            with("gvisor", |pod| pod["spec"]["runtimeClassName"] = "gvisor".into()),
            "sandboxed",
        ),
        (
            with("kata", |pod| pod["spec"]["runtimeClassName"] = "kata-qemu".into()),
            "sandboxed",
        ),
        (
            with("ended", |pod| pod["status"]["phase"] = "Succeeded".into()),
            "ended",
        ),
        (
            with("istio", |pod| {
                let sidecar = json!({ "name": "istio-proxy", "image": "proxyv2" });
                pod["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
            }),
            "other_sidecar",
        ),
        (mesh.plain("plain"), "no_label"),
    ];
    for (pod, why) in &pods {
        wait::until(wait::PATIENCE, format!("{why} shown"), || {
            show(&mesh.agent, pod).is_some()
        });
        assert_eq!(reason(&mesh.agent, pod), *why);
        assert!(!is_captured(&mesh.node, pod));
    }
}

#[test]
fn a_pod_that_joins_waits_for_none_that_leaves() {
    let mesh = Single::start();
    mesh.lab.manifests().enrolled("leaves");
    mesh.lab.manifests().plain("joins");
    let leaver = mesh.pod("leaves/leaver");
    let [joiner, heir] = ["joiner", "heir"].map(|name| mesh.node.pod(&format!("joins/{name}")).start_unannounced());
    let inherited = leaver.object().value()["metadata"]["annotations"].clone();
    let mut objects = [
        joiner.object().clone(),
        // Another name, the same namespace of the network.
        heir.object().clone(),
        Object::namespace("leaves"),
        Object::namespace("joins").label("weft.dev/mesh", "enabled"),
    ];
    objects[1].value_mut()["metadata"]["annotations"] = inherited;
    objects[1].value_mut()["status"] = leaver.object().value()["status"].clone();
    let texts: Vec<_> = objects.iter().map(|object| object.value().to_string()).collect();
    // Of doubles the first file counts.
    mesh.lab.manifests().write("0.yaml", &texts.join("\n---\n"));

    let captured = |pod: &Pod| format!("Pod captured pod={}", pod.object().full_name());
    let released = format!("Pod released pod={}", leaver.object().full_name());
    wait::until(wait::PATIENCE, "the heir captured", || {
        mesh.agent.logged().contains(&captured(&heir))
    });
    let log = mesh.agent.logged();
    let at = |line: &str| log.rfind(line).unwrap_or_else(|| panic!("{line} in\n{log}"));
    assert!(at(&captured(&joiner)) < at(&released), "{log}");
    assert!(at(&released) < at(&captured(&heir)), "{log}");
}

#[test]
fn a_pod_that_comes_again_with_the_same_address_is_captured_anew() {
    let mesh = Single::start();
    let client = mesh.plain("client");
    let first = mesh.pod("mesh/server");
    let addresses = first.addresses();
    drop(first);
    for _ in 0..3 {
        let again = mesh.node.pod("mesh/server").addresses(addresses).start();
        wait_captured(&mesh.node, &again);
        let app = again.serve(8080, App::Echo);
        for family in Family::BOTH {
            addresses
                .both()
                .iter()
                .for_each(|address| client_forgets(&client, &address.to_string()));
            let before = opened(&mesh.agent);
            let stream = client.connect(addresses.at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            assert_eq!(opened(&mesh.agent), before + 1);
        }
        assert_eq!(app.accepted(), 2);
    }
}

#[test]
fn a_pod_that_is_deleted_is_cut_at_its_peers() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let listener = server
        .run(|| std::net::TcpListener::bind(server.addresses().at(Family::V4, 8080)))
        .unwrap();
    let stream = client.connect(server.addresses().at(Family::V4, 8080)).unwrap();
    (&stream).write_all(b"x").unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    mesh.lab.manifests().delete(client.object());
    // The bytes that were under way come first; then the end, clean or not.
    let mut accepted = accepted;
    let end = std::io::Read::read_to_end(&mut accepted, &mut Vec::new());
    assert!(
        !matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "{end:?}"
    );
    mesh.agent.record("the cut", |record| record["reason"] == "pod_gone");
}

#[test]
fn changing_what_happens_on_failure_reaches_the_kernel() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    mesh.apply(
        &Object::namespace("mesh")
            .label("weft.dev/mesh", "enabled")
            .label("weft.dev/on-agent-failure", "closed"),
    );
    wait::until(wait::PATIENCE, "the change shown", || {
        show(&mesh.agent, &client).is_some_and(|pod| pod["on_agent_failure"] == "closed")
    });
    let _launch = mesh.agent.kill();
    let to = server.addresses().at(Family::V4, 8080);
    let late = client.dial(to).timeout(Duration::from_secs(4)).connect();
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

/// What `weft debug pod show` says of the pod.
fn show(agent: &Agent, pod: &Pod) -> Option<Value> {
    let pods = agent.debug(&["pod", "show"]);
    pods.as_array()
        .expect("a list")
        .iter()
        .find(|shown| shown["uid"] == pod.uid())
        .cloned()
}

fn reason(agent: &Agent, pod: &Pod) -> Value {
    show(agent, pod).expect("the pod is known")["reason"].clone()
}

/// Another namespace has the address: the old machine's link address must not be used any more.
fn client_forgets(client: &Pod, address: &str) {
    // There may be no entry.
    let _ = client.netns().try_ip(&format!("neigh del {address} dev eth0\n"));
}

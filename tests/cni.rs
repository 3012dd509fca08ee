//! Pods held by the CNI plugin until they are captured. The harness plays the runtime: the sandbox stands, the plugin is
//! called, and only then does anything run in the pod.

use std::{fs, thread, time::Duration};

use harness::{Agent, App, Called, Family, Lab, Launch, Node, Object, Pod, Runtime, Sandbox, Talk, wait};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::mesh::{has_rule, is_captured, listening};

/// A node whose runtime calls the plugin of its agent.
struct Held {
    agent: Agent,
    runtime: Runtime,
    node: Node,
    lab: Lab,
}

impl Held {
    fn start() -> Self {
        let lab = Lab::new();
        lab.manifests().enrolled("mesh");
        lab.manifests().enrolled_closed("closed");
        lab.manifests().plain("plain");
        let node = lab.node("one");
        let runtime = Runtime::new(&node);
        let agent = node.agent().cni(&runtime).start();
        runtime.wait_chained();
        Self {
            agent,
            runtime,
            node,
            lab,
        }
    }

    /// A pod of which the API knows no address and nobody the namespace, as when its sandbox has just been made.
    fn early(&self, name: &str) -> Pod {
        early(&self.node, name)
    }

    fn add(&self, pod: &Pod) -> Called {
        self.runtime.add(&Sandbox::of(pod, "c1"))
    }

    fn shown(&self, pod: &Pod) -> Value {
        let pods = self.agent.debug(&["pod", "show"]);
        let mut pods = pods.as_array().expect("a list").iter();
        pods.find(|shown| shown["uid"] == pod.uid())
            .cloned()
            .unwrap_or_default()
    }

    fn adds(&self, outcome: &str) -> u64 {
        let label = format!("outcome=\"{outcome}\"");
        // A counter is a whole number.
        self.agent.metric("weft_cni_adds_total", &[&label]) as u64
    }
}

fn early(node: &Node, name: &str) -> Pod {
    let mut pod = node.pod(name).start_unannounced();
    pod.update(|pod| {
        pod["metadata"]["annotations"] = json!({});
        pod["status"] = json!({ "phase": "Pending" });
    });
    pod
}

/// Kills the agent; everything else goes on.
fn dead(held: Held) -> (Launch, Runtime, Node, Lab) {
    let Held {
        agent,
        runtime,
        node,
        lab,
    } = held;
    (agent.kill(), runtime, node, lab)
}

#[test]
fn the_first_packet_of_a_pod_is_in_the_mesh_and_its_late_addresses_change_nothing() {
    let lab = Lab::new();
    lab.manifests().enrolled("mesh");
    let ranges = [
        "10.101.0.0/16",
        "10.102.0.0/16",
        "fd00:244:0:1::/64",
        "fd00:244:0:2::/64",
    ];
    lab.manifests()
        .apply(&Object::mesh_config(json!({ "podCIDRs": ranges })));
    let nodes = ["one", "two"].map(|name| lab.node(name));
    let ca = nodes[0].ca(&[]);
    let runtime = Runtime::new(&nodes[0]);
    let agents = [
        nodes[0].agent_of(&ca).cni(&runtime).start(),
        nodes[1].agent_of(&ca).start(),
    ];
    let server = nodes[1].pod("mesh/server").start();
    let _app = server.serve(8080, App::Echo);
    crate::mesh::wait_captured(&nodes[1], &server);
    let certificates = || agents[1].debug(&["cert", "show"]);
    wait::until(Duration::from_secs(60), "the server's certificate", || {
        certificates()[0]["state"] == "valid"
    });
    runtime.wait_chained();

    let mut client = early(&nodes[0], "mesh/client");
    let sandbox = Sandbox::of(&client, "c1");
    let called = runtime.add(&sandbox);
    assert_eq!(
        (called.code, &called.printed),
        (Some(0), &sandbox.result()),
        "{called:?}"
    );
    assert!(is_captured(&nodes[0], &client), "before anything runs in it");
    for family in Family::BOTH {
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"first").unwrap(), b"first");
        drop(stream);
        let record = agents[0].record("its record", |record| {
            record["source_pod"] == client.object().full_name().as_str()
                && record["original_destination"] == server.addresses().at(family, 8080).to_string().as_str()
        });
        assert_eq!(record["security"], "mutual_tls", "{record}");
    }

    let (before, listeners) = (shown(&agents[0], &client), listening(&client));
    assert!(
        before["held_seconds"].as_f64().is_some_and(|held| held > 0.0),
        "{before}"
    );
    let addresses = client.addresses();
    client.update(|pod| {
        pod["status"] = json!({ "phase": "Running", "podIPs": [{ "ip": addresses.v4 }, { "ip": addresses.v6 }] });
        pod["spec"]["containers"][0]["readinessProbe"] = json!({ "tcpSocket": { "port": 9 } });
    });
    wait::until(wait::PATIENCE, "the API's word", || {
        shown(&agents[0], &client)["probe_ports"] == json!([9])
    });
    let after = shown(&agents[0], &client);
    assert_eq!(
        (&after["link_id"], &after["netns_cookie"]),
        (&before["link_id"], &before["netns_cookie"])
    );
    assert_eq!(listening(&client), listeners, "captured once");
}

#[test]
fn pods_outside_the_mesh_start_at_once_whether_the_agent_lives_or_not() {
    let held = Held::start();
    let plain = held.early("plain/web");
    let mut opted_out = held.early("closed/out");
    opted_out.update(|pod| pod["metadata"]["labels"]["weft.dev/mesh"] = "disabled".into());
    for pod in [&plain, &opted_out] {
        let called = held.add(pod);
        assert_eq!(
            (called.code, called.printed),
            (Some(0), Sandbox::of(pod, "c1").result())
        );
        assert!(!has_rule(pod));
    }
    assert_eq!(held.adds("not_enrolled"), 2);
    assert_eq!(held.shown(&plain)["held_seconds"], Value::Null);

    let (_launch, runtime, node, _lab) = dead(held);
    let late = early(&node, "plain/late");
    let called = runtime.add(&Sandbox::of(&late, "c1"));
    assert_eq!(
        (called.code, called.printed),
        (Some(0), Sandbox::of(&late, "c1").result())
    );
    assert!(called.took < ENROLLED_WAITS, "{:?}", called.took);
}

#[test]
fn a_pod_that_fails_closed_waits_for_the_next_agent_and_one_that_fails_open_does_not() {
    let held = Held::start();
    // The roll is what the plugin knows without an agent.
    wait::until(wait::PATIENCE, "the roll", || {
        held.runtime.run_dir().join("enrolled.json").exists()
    });
    let (launch, runtime, node, _lab) = dead(held);
    let [open, closed] = ["mesh/open", "closed/shut"].map(|name| early(&node, name));
    let called = runtime.add(&Sandbox::of(&open, "c1"));
    assert_eq!(called.code, Some(0), "{called:?}");

    let sandbox = Sandbox::of(&closed, "c2");
    let called = runtime.add(&sandbox);
    assert_eq!(
        (called.code, &called.printed["code"]),
        (Some(1), &json!(11)),
        "{called:?}"
    );
    let reason = called.printed["msg"].as_str().unwrap();
    assert!(reason.contains("the agent is away"), "{reason}");

    let agent = thread::scope(|scope| {
        // The kubelet tries again.
        let again =
            scope.spawn(|| wait::until(RESTARTED, "the pod let start", || runtime.add(&sandbox).code == Some(0)));
        let agent = launch.start();
        again.join().unwrap();
        agent
    });
    assert!(is_captured(&node, &closed));
    assert!(shown(&agent, &closed)["held_seconds"].is_number());
}

#[test]
fn an_agent_that_stalls_holds_nobody_for_ever() {
    let held = Held::start();
    let pods = ["plain/web", "mesh/open", "closed/shut"].map(|name| held.early(name));
    held.agent.signal(Signal::SIGSTOP);
    let called = pods.each_ref().map(|pod| held.add(pod));
    held.agent.signal(Signal::SIGCONT);
    let codes = called.each_ref().map(|called| called.code);
    assert_eq!(codes, [Some(0), Some(0), Some(1)], "{called:?}");
    assert_eq!(called[2].printed["code"], 11, "{called:?}");
    let reason = called[2].printed["msg"].as_str().unwrap();
    assert!(reason.contains("the agent does not answer"), "{reason}");
    for called in called {
        assert!(called.took < ENROLLED_WAITS, "{:?}", called.took);
    }
}

#[test]
fn a_sandbox_that_is_made_again_is_captured_anew_and_nothing_holds_the_old_one() {
    let held = Held::start();
    let first = held.early("mesh/web");
    let old = Sandbox::of(&first, "c1");
    assert_eq!(held.runtime.add(&old).code, Some(0));
    assert!(held.agent.held_namespaces().contains(&first.netns().inode()));
    assert_eq!(held.runtime.check(&old).code, Some(0));

    // The same pod in another namespace.
    let second = held.node.pod("mesh/spare").start_unannounced();
    let new = Sandbox::named(first.object(), second.netns(), second.addresses(), "c2");
    assert_eq!(held.runtime.del(&old).code, Some(0));
    wait::until(wait::PATIENCE, "the old namespace let go", || {
        !held.agent.held_namespaces().contains(&first.netns().inode())
    });
    assert_eq!(held.runtime.add(&new).code, Some(0));
    assert!(has_rule(&second));
    let captured = held.shown(&first);
    assert_eq!(captured["netns_ino"], second.netns().inode());

    // The runtime deletes the old one again when it collects what is left.
    assert_eq!(held.runtime.del(&old).code, Some(0));
    assert_eq!(held.shown(&first), captured);
    assert_eq!(held.runtime.check(&new).code, Some(0));
}

#[test]
fn an_agent_that_has_just_started_lets_go_of_sandboxes_it_never_heard_of() {
    let mut held = Held::start();
    // Found by its annotation, as others are by their processes.
    let pod = held.node.pod("mesh/web").start();
    let sandbox = Sandbox::of(&pod, "c1");
    assert_eq!(held.runtime.add(&sandbox).code, Some(0));
    held.agent.restart();
    wait::until(wait::PATIENCE, "adopted", || is_captured(&held.node, &pod));
    assert_eq!(held.runtime.del(&sandbox).code, Some(0));
    wait::until(wait::PATIENCE, "the namespace let go", || {
        !held.agent.held_namespaces().contains(&pod.netns().inode())
    });
    assert!(!held.node.captures(&pod), "it is not found again by what is left of it");
}

#[test]
fn the_plugin_installs_repairs_and_removes_itself() {
    let held = Held::start();
    let plugins = held.runtime.plugins();
    assert_eq!(plugins[0], json!({ "type": "harness", "note": "kept" }));
    assert_eq!(plugins[1]["type"], "weft-cni");

    held.runtime
        .configure("10-net.conflist", &json!({ "type": "harness", "note": "rewritten" }));
    held.runtime.wait_chained();
    assert_eq!(held.runtime.plugins()[0]["note"], "rewritten");
    held.runtime
        .configure("05-first.conflist", &json!({ "type": "harness", "note": "another" }));
    wait::until(wait::PATIENCE, "the other network chained", || {
        held.runtime.is_chained() && held.runtime.plugins()[0]["note"] == "another"
    });

    let Held {
        agent, runtime, lab, ..
    } = held;
    let (launch, _) = agent.terminate(Duration::from_secs(60));
    assert!(runtime.is_chained(), "pods are held for the next agent");
    let agent = launch.start();
    let arguments = runtime.arguments();
    let arguments: Vec<&str> = ["cni", "uninstall"]
        .into_iter()
        .chain(arguments.iter().map(String::as_str))
        .collect();
    let outcome = agent.launch().weft(&arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!runtime.binary().exists());
    let names = |runtime: &Runtime| fs::read_dir(runtime.conf_dir()).unwrap().count();
    assert_eq!(names(&runtime), 2, "nothing is left of it");
    // The agent sees each change of the folder, and leaves it alone.
    runtime.configure("05-first.conflist", &json!({ "type": "harness" }));
    wait::until(wait::PATIENCE, "the agent's word", || {
        agent.logged().contains("was uninstalled")
    });
    assert_eq!(runtime.plugins(), [json!({ "type": "harness" })]);
    drop(lab);
}

/// What `weft debug pod show` says of the pod.
fn shown(agent: &Agent, pod: &Pod) -> Value {
    let pods = agent.debug(&["pod", "show"]);
    let mut pods = pods.as_array().expect("a list").iter();
    pods.find(|shown| shown["uid"] == pod.uid())
        .cloned()
        .unwrap_or_default()
}

/// On a busy machine; what pods of the mesh wait for at most is a sixth of it.
const ENROLLED_WAITS: Duration = Duration::from_secs(60);

/// On a busy machine.
const RESTARTED: Duration = Duration::from_secs(120);

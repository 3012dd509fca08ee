//! A real CA and the agents of two nodes: certificates issued, renewed, rotated and denied, as `weft debug cert` shows them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use harness::{Agent, App, Ca, Family, Lab, Node, Object, Pod, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::wait_captured;

/// Two nodes with an agent and a pod each, and a CA on the first.
struct Scene {
    ca: Ca,
    agents: [Agent; 2],
    pods: [Pod; 2],
    nodes: [Node; 2],
    lab: Lab,
}

impl Scene {
    fn start() -> Self {
        let lab = Lab::new();
        lab.manifests().enrolled("mesh");
        let nodes = [lab.node("one"), lab.node("two")];
        let pods = [nodes[0].pod("mesh/cart").start(), nodes[1].pod("mesh/web").start()];
        let ca = nodes[0].ca(&["--short-life", "16s", "--rotation-step", "1s"]);
        let agents = nodes.each_ref().map(|node| node.agent_of(&ca).start());
        let scene = Self {
            ca,
            agents,
            pods,
            nodes,
            lab,
        };
        scene.until_both("valid certificates", |certificate| certificate["state"] == "valid");
        scene
    }

    /// The same with pods that take no plaintext: what they answer has come by mutual TLS.
    fn strict() -> Self {
        let scene = Self::start();
        // Agents greet only within the cluster: no slice names these pods.
        let ranges = json!({ "podCIDRs": ["10.0.0.0/8", "fd00::/8"] });
        scene.lab.manifests().apply(&Object::mesh_config(ranges));
        scene.lab.manifests().apply(&Object::new(json!({
            "apiVersion": "mesh.weft.dev/v1alpha1",
            "kind": "AuthenticationPolicy",
            "metadata": { "namespace": "mesh", "name": "strict" },
            "spec": { "mtls": { "mode": "Strict" } },
        })));
        for (node, pod) in scene.nodes.iter().zip(&scene.pods) {
            wait_captured(node, pod);
        }
        scene
    }

    /// Says a word from the first pod to the second, over a new connection.
    fn talk(&self, family: Family) -> io::Result<Vec<u8>> {
        let stream = self.pods[0].connect(self.pods[1].addresses().at(family, 8080))?;
        Talk::ask(&stream, b"hello")
    }

    fn until_reached(&self) {
        wait::until(PATIENCE, "the other pod reached by either family", || {
            Family::BOTH.into_iter().all(|family| self.talk(family).is_ok())
        });
    }

    /// The certificates of both pods, each as its agent shows it.
    fn certificates(&self) -> [Value; 2] {
        self.agents.each_ref().map(|agent| {
            let shown = agent.debug(&["cert", "show"]);
            shown
                .as_array()
                .and_then(|rows| rows.first())
                .cloned()
                .unwrap_or_default()
        })
    }

    fn until_both(&self, what: &str, such: impl Fn(&Value) -> bool) -> [Value; 2] {
        wait::until_some(PATIENCE, what, || {
            Some(self.certificates()).filter(|certificates| certificates.iter().all(&such))
        })
    }

    fn tell(&self, arguments: &[&str]) {
        let outcome = self.ca.command(arguments);
        assert_eq!(outcome.code, Some(0), "weft ca {arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn agents_of_two_nodes_get_pod_bound_certificates_of_one_ca_and_renew_them() {
    let scene = Scene::start();
    let first = scene.certificates();
    for (certificate, pod) in first.iter().zip(&scene.pods) {
        assert_eq!(certificate["identity"], "spiffe://cluster.local/ns/mesh/sa/default");
        assert_eq!(certificate["uid"], pod.uid());
        let ips = certificate["ips"].to_string();
        let own = pod.addresses();
        assert!(
            ips.contains(&own.v4.to_string()) && ips.contains(&own.v6.to_string()),
            "{ips}"
        );
        assert!(
            certificate["seconds_left"]
                .as_i64()
                .is_some_and(|left| (0..=16).contains(&left))
        );
        assert!(
            certificate["ca_skew_seconds"]
                .as_f64()
                .is_some_and(|skew| skew.abs() < 5.0)
        );
        assert_eq!(certificate["ca_attended"], true);
    }
    assert_eq!(first[0]["root"], first[1]["root"]);
    let known = first.each_ref().map(|certificate| certificate["serial"].clone());
    scene.until_both("renewed certificates", |certificate| {
        !known.contains(&certificate["serial"])
    });
    for agent in &scene.agents {
        assert!(agent.metric("weft_certificate_requests_total", &["outcome=\"Issued\""]) >= 2.0);
        assert!(!agent.logged().contains("PRIVATE KEY"));
    }
    let audit = scene.ca.logged();
    assert!(
        audit.contains("Certificate issued") && audit.contains("mesh/cart"),
        "{audit}"
    );
}

#[test]
fn a_ca_that_is_away_is_told_and_found_again_with_the_same_roots() {
    let mut scene = Scene::start();
    let roots = scene.ca.show()["roots"].clone();
    scene.ca.kill();
    let away = scene.until_both("the CA away", |certificate| certificate["ca_attended"] == false);
    assert!(
        away.iter().all(|certificate| certificate["serial"].is_string()),
        "what is valid is kept"
    );
    scene.ca.start_again();
    scene.until_both("the CA again", |certificate| {
        certificate["ca_attended"] == true && certificate["state"] == "valid"
    });
    assert_eq!(scene.ca.show()["roots"], roots);
}

#[test]
fn a_root_is_replaced_while_the_agents_run() {
    let scene = Scene::start();
    let old = scene.certificates()[0]["root"].clone();
    scene.tell(&["rotate"]);
    let renewed = scene.until_both("certificates of the new root", |certificate| {
        certificate["root"] != old && certificate["state"] == "valid"
    });
    assert_eq!(renewed[0]["root"], renewed[1]["root"]);
    wait::until(PATIENCE, "the old root gone", || scene.ca.show()["rotation"] == "none");
    assert_eq!(scene.ca.show()["roots"], Value::from(vec![renewed[0]["root"].clone()]));
    scene.until_both("valid certificates", |certificate| {
        certificate["root"] == renewed[0]["root"] && certificate["state"] == "valid"
    });
}

#[test]
fn what_is_denied_gets_no_certificate_and_its_neighbour_does() {
    let scene = Scene::start();
    let uid = scene.pods[0].uid().to_owned();
    scene.tell(&["deny", "--pod", &uid]);
    let denied = format!("the deny-list has pod {uid}");
    wait::until(PATIENCE, "the refusal", || {
        scene.certificates()[0]["reason"] == denied.as_str()
    });
    assert_eq!(scene.certificates()[1]["reason"], Value::Null);
    scene.tell(&["allow", "--pod", &uid]);
    scene.until_both("valid certificates", |certificate| {
        certificate["state"] == "valid" && certificate["reason"].is_null()
    });
    scene.tell(&["deny", "--identity", "spiffe://cluster.local/ns/other/sa/default"]);
    assert_eq!(
        scene.ca.show()["denied"],
        Value::from(vec!["identity spiffe://cluster.local/ns/other/sa/default"])
    );
}

#[test]
fn a_root_is_replaced_under_traffic_and_no_new_connection_fails() {
    let scene = Scene::strict();
    let _app = scene.pods[1].serve(8080, App::Echo);
    scene.until_reached();
    scene.tell(&["rotate"]);
    let mut connections = 0;
    wait::until(PATIENCE, "the old root gone", || {
        for family in Family::BOTH {
            let answered = scene.talk(family);
            assert!(answered.is_ok(), "after {connections} connections: {answered:?}");
            connections += 1;
        }
        scene.ca.show()["rotation"] == "none"
    });
    assert_eq!(scene.ca.show()["roots"].as_array().map(Vec::len), Some(1));
    // By the new root alone, and not by a connection of before.
    for family in Family::BOTH {
        scene.talk(family).expect("the new root is believed");
    }
}

#[test]
fn a_denial_cuts_what_is_open_and_keeps_out_what_comes() {
    let scene = Scene::strict();
    let _app = scene.pods[1].serve(8080, App::Echo);
    scene.until_reached();
    let open = scene.pods[0].connect(scene.pods[1].addresses().at(Family::V4, 8080));
    let open = open.expect("a connection");
    assert_eq!(Talk::ask(&open, b"hello").expect("an answer"), b"hello");
    let uid = scene.pods[0].uid().to_owned();
    scene.tell(&["deny", "--pod", &uid]);
    let told = Instant::now();
    Talk::hear(&open).expect_err("it is cut");
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    scene.agents[1].record("the cut connection", |record| record["reason"] == "identity_denied");
    for family in Family::BOTH {
        scene.talk(family).expect_err("what is denied is kept out");
    }
    scene.tell(&["allow", "--pod", &uid]);
    scene.until_reached();
}

#[test]
fn a_replica_that_vanishes_without_a_word_is_left_for_another_one_within_seconds() {
    let lab = Lab::new();
    lab.manifests().enrolled("mesh");
    let [one, two] = ["one", "two"].map(|name| lab.node(name));
    let _pod = two.pod("mesh/web").start();
    let ca = one.ca(&[]);
    let replicas = Family::BOTH.map(|family| one.addresses().of(family));
    let token = ca.token(two.name());
    let token = token.to_str().expect("a lab's paths are text");
    let named = two.agent().host("replicas", &replicas);
    let agent = named
        .arguments(&["--ca", &ca.url_at("replicas"), "--ca-token", token])
        .start();
    let attends = |replica: IpAddr| {
        let established = two.netns().sh("ss -Htn state established dport = :15012");
        let there = established
            .lines()
            .any(|line| line.contains(&SocketAddr::new(replica, 15_012).to_string()));
        there && agent.metric("weft_ca_attended", &[]) == 1.0
    };
    let attended = || {
        wait::until_some(PATIENCE, "a replica attended", || {
            replicas.into_iter().find(|ip| attends(*ip))
        })
    };
    let other = |replica| replicas.into_iter().find(|ip| *ip != replica).expect("there are two");

    let first = attended();
    lose(&two, other(first));
    wait::holds(LOST, "it stays with the one that is there", || attends(first));
    find_again(&two);
    wait::in_time(LOST, || {
        let lost = attended();
        let start = Instant::now();
        lose(&two, lost);
        wait::until(PATIENCE, "the other replica attended", || attends(other(lost)));
        let took = start.elapsed();
        find_again(&two);
        println!("{lost} lost, the other attended after {took:?}");
        took
    });
}

/// Takes a machine away from a node: nothing of it comes any more, no end of a connection either.
fn lose(node: &Node, machine: IpAddr) {
    let family = if machine.is_ipv4() { "ip" } else { "ip6" };
    node.netns().sh(&format!(
        "nft add table inet lost\n\
         nft 'add chain inet lost in {{ type filter hook input priority 0; }}'\n\
         nft 'add chain inet lost out {{ type filter hook output priority 0; }}'\n\
         nft 'add rule inet lost in {family} saddr {machine} drop'\n\
         nft 'add rule inet lost out {family} daddr {machine} drop'"
    ));
}

fn find_again(node: &Node) {
    node.netns().sh("nft delete table inet lost");
}

/// A machine that says nothing is believed to be lost after two seconds, and looked for in pauses of one; another one is tried
/// after half a second, and takes its time.
const LOST: Duration = Duration::from_secs(5);
/// A certificate lives 16 s here; on a busy machine every step takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

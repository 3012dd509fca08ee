//! The mesh from the Kubernetes API: an agent that reads a real API server.

use std::time::Instant;

use harness::{Addresses, Agent, ApiServer, App, Family, Lab, Node, Object, Pod, Talk, api_server, wait};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    found::{Process, cgroup_of},
    mesh::{wait_captured, wait_released},
};

const SERVICE: Addresses = Addresses::service(10);

/// A node whose agent reads an API server.
struct Cluster {
    agent: Agent,
    node: Node,
    api: ApiServer,
    _lab: Lab,
}

impl Cluster {
    /// Without Weft's own kinds.
    fn start(lab: Lab, api: ApiServer) -> Self {
        let node = lab.node("one");
        for namespace in ["shop", "plain"] {
            api.apply(&Object::namespace(namespace).value().to_string());
            // A controller makes it where one runs.
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
                "metadata": {"name": "default", "namespace": namespace},
            });
            api.apply(&account.to_string());
        }
        grant(&api);
        let kubeconfig = api.kubeconfig_of(ACCOUNT, None);
        let launch = node.agent().kubeconfig(&kubeconfig);
        let agent = launch.variable("WEFT_LOG", "info,agent::cluster=debug").start();
        Self {
            agent,
            node,
            api,
            _lab: lab,
        }
    }

    /// A pod that runs, as the API server knows it.
    fn pod(&self, name: &str) -> Pod {
        let mut pod = self.node.pod(name).start_unannounced();
        let (namespace, short) = name.split_once('/').unwrap();
        let mut object = pod.object().value().clone();
        let status = json!({"status": object["status"].take()}).to_string();
        object["metadata"]["uid"].take();
        self.api.apply(&object.to_string());
        let patched = self.api.kubectl(&[
            "patch",
            "pod",
            short,
            "--namespace",
            namespace,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &status,
        ]);
        assert_eq!(patched.code, Some(0), "{}", patched.stderr);
        let told = self
            .api
            .kubectl(&["get", "pod", short, "--namespace", namespace, "--output=json"]);
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        pod.update(|object| object["metadata"]["uid"] = told["metadata"]["uid"].clone());
        pod
    }

    fn label(&self, namespace: &str, label: &str) {
        let labelled = self.api.kubectl(&["label", "namespace", namespace, label]);
        assert_eq!(labelled.code, Some(0), "{}", labelled.stderr);
    }

    /// Whether an Event says that the pod ran before it was in the mesh.
    fn joined_late(&self, pod: &Pod) -> bool {
        let told = self
            .api
            .kubectl(&["get", "events.events.k8s.io", "--namespace=shop", "--output=json"]);
        let told: Value = serde_json::from_str(&told.stdout).unwrap_or_default();
        let events = told["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        events
            .iter()
            .any(|event| event["reason"] == "JoinedMeshLate" && event["regarding"]["uid"] == pod.uid())
    }

    fn readiness(&self) -> String {
        self.agent.http("/readyz").unwrap().1
    }

    fn wait_fresh(&self) {
        wait::until(wait::PATIENCE, "the API server found", || self.readiness() == "ready\n");
    }
}

#[test]
fn a_namespace_joins_and_leaves_by_its_label_while_its_pods_run() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let mut cluster = Cluster::start(lab, api);
    let pod = cluster.pod("shop/front");
    wait::until(wait::PATIENCE, "the pod known", || {
        cluster.agent.debug(&["pod", "show"])[0]["reason"] == "no_label"
    });
    let begun = Instant::now();
    cluster.label("shop", "weft.dev/mesh=enabled");
    wait_captured(&cluster.node, &pod);
    println!("captured {:?} after the label was asked for", begun.elapsed());
    wait::until(wait::PATIENCE, "an Event of it", || cluster.joined_late(&pod));

    cluster.agent.signal(Signal::SIGKILL);
    cluster.agent.wait_end(wait::PATIENCE);
    let [begun, held] = ["shop/begun", "shop/held"].map(|name| cluster.pod(name));
    let cgroup = cgroup_of(&begun);
    let _container = Process::start(&begun, &cgroup);
    cluster.agent.restart();
    for pod in [&pod, &begun, &held] {
        wait_captured(&cluster.node, pod);
    }
    wait::until(wait::PATIENCE, "an Event of who did not wait for the agent", || {
        cluster.joined_late(&begun)
    });
    assert!(!cluster.joined_late(&held), "nothing runs in it yet");
    cluster.label("shop", "weft.dev/mesh-");
    wait_released(&cluster.node, &pod);
    assert!(
        !cluster.agent.logged().contains("Listed by pages"),
        "this server has streaming lists"
    );
}

#[test]
fn ten_thousand_endpoints_are_held_in_little_memory() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let cluster = Cluster::start(lab, api);
    cluster.wait_fresh();
    let before = cluster.agent.memory();
    for batch in 0..SLICES / 20 {
        let numbers = 20 * batch..20 * (batch + 1);
        let objects: Vec<Value> = numbers
            .flat_map(|number| [service(number), full_slice(number)])
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let created = cluster.api.kubectl_with(&["create", "--filename=-"], &list.to_string());
        assert_eq!(created.code, Some(0), "{}", created.stderr);
    }
    wait::until(wait::PATIENCE * 3, "all endpoints known", || {
        let services = cluster.agent.debug(&["service", "show"]);
        let services = services.as_array().cloned().unwrap_or_default();
        let endpoints = services
            .iter()
            .filter_map(|service| service["ports"][0]["endpoints"].as_u64());
        endpoints.sum::<u64>() >= SLICES * PER_SLICE
    });
    let each = cluster.agent.memory().saturating_sub(before) / (SLICES * PER_SLICE);
    println!("{each} bytes of memory for each of {} endpoints", SLICES * PER_SLICE);
    assert!(each < 4096, "{each}");
}

#[test]
fn services_have_the_endpoints_of_their_slices_alone() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let cluster = Cluster::start(lab, api);
    cluster.label("shop", "weft.dev/mesh=enabled");
    let (client, server) = (cluster.pod("shop/client"), cluster.pod("shop/server"));
    for pod in [&client, &server] {
        wait_captured(&cluster.node, pod);
    }
    let _app = server.serve(8080, App::Echo);
    let service = Object::service("shop/server", SERVICE, "server").port("echo", 80, 8080);
    let mut service = service.value().clone();
    for field in ["clusterIP", "clusterIPs"] {
        service["spec"][field].take();
    }
    cluster.api.apply(&service.to_string());
    let told = cluster
        .api
        .kubectl(&["get", "service", "server", "--namespace=shop", "--output=json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let service_ip: std::net::IpAddr = told["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
    let endpoints = |service: &str| {
        let shown = cluster.agent.debug(&["endpoint", "show"]);
        let rows = shown.as_array().cloned().unwrap_or_default();
        rows.into_iter().filter(|row| row["service"] == service).count()
    };
    wait::until(wait::PATIENCE, "the service known", || {
        let shown = cluster.agent.debug(&["service", "show"]);
        shown
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["name"] == "server"))
    });
    assert_eq!(endpoints("shop/server"), 0, "its selector alone gives it none");
    let slice = Object::slice("shop/server-1", "server", &[("echo", 8080)]);
    cluster
        .api
        .apply(&slice.endpoint(server.addresses().v4.into()).value().to_string());
    wait::until(wait::PATIENCE, "the service served", || {
        client
            .connect((service_ip, 80).into())
            .is_ok_and(|stream| Talk::ask(&stream, b"hello").is_ok())
    });
}

#[test]
fn an_api_server_that_goes_is_noticed_and_found_again() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let mut cluster = Cluster::start(lab, api);
    cluster.label("shop", "weft.dev/mesh=enabled");
    let (client, server) = (cluster.pod("shop/client"), cluster.pod("shop/server"));
    for pod in [&client, &server] {
        wait_captured(&cluster.node, pod);
    }
    let _app = server.serve(8080, App::Echo);
    let served = || {
        let to = server.addresses().at(Family::V4, 8080);
        client
            .connect(to)
            .is_ok_and(|stream| Talk::ask(&stream, b"hello").is_ok())
    };
    assert!(served());
    cluster.wait_fresh();
    wait::until(wait::PATIENCE, "both pods kept on disk", || {
        let kept = std::fs::read_to_string(cluster.agent.launch().state().join("mesh.json")).unwrap_or_default();
        [&client, &server].iter().all(|pod| kept.contains(pod.uid()))
    });

    cluster.api.kill();
    wait::until(wait::PATIENCE, "the loss noticed", || {
        cluster
            .readiness()
            .starts_with("ready, stale: the API server last confirmed the mesh ")
    });
    wait::until(wait::PATIENCE, "its age told", || {
        cluster.agent.metric("weft_mesh_age_seconds", &[]) > 0.0
    });
    assert!(served(), "traffic goes on");
    cluster.agent.restart();
    assert!(
        cluster.readiness().starts_with("ready, stale: "),
        "it starts by what it last knew"
    );
    for pod in [&client, &server] {
        wait_captured(&cluster.node, pod);
    }
    assert!(served());

    cluster.api.start_again();
    cluster.wait_fresh();
    let late = cluster.pod("shop/late");
    wait_captured(&cluster.node, &late);
}

#[test]
fn an_agent_that_may_not_read_the_mesh_is_alive_and_waits_until_it_may() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let node = lab.node("one");
    let mut agent = node.agent().kubeconfig(&api.kubeconfig_of(ACCOUNT, None)).spawn();
    wait::until(wait::PATIENCE, "it waits", || {
        let waits = (503, "the mesh was not read yet\n".to_owned());
        agent.http("/readyz").is_ok_and(|answer| answer == waits)
    });
    wait::until(wait::PATIENCE, "it says for what", || {
        agent.logged().contains("forbidden")
    });
    assert_eq!(agent.http("/livez").unwrap().0, 200);
    grant(&api);
    agent.wait_ready();
}

#[test]
fn policies_count_as_soon_as_their_kind_is_installed_and_a_bad_one_denies() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let cluster = Cluster::start(lab, api);
    cluster.label("shop", "weft.dev/mesh=enabled");
    let pod = cluster.pod("shop/server");
    wait_captured(&cluster.node, &pod);
    assert_eq!(cluster.readiness(), "ready\n", "without Weft's own kinds");
    let denied = || {
        let launch = cluster.agent.launch();
        let asked = [
            "debug",
            "policy",
            "test",
            "--from",
            "10.9.9.9",
            "--to",
            "shop/server",
            "--port",
            "80",
        ];
        launch.weft(&asked).code == Some(3)
    };
    assert!(!denied());

    cluster
        .api
        .apply(&anything_goes("AuthorizationPolicy", "authorizationpolicies").to_string());
    wait::until(wait::PATIENCE, "the kind installed", || {
        cluster.api.kubectl(&["get", "authorizationpolicies"]).code == Some(0)
    });
    let members = json!({"rules": [{"from": [{"principals": ["shop/*"]}]}]});
    let policy = |name: &str, spec: Value| Object::policy("AuthorizationPolicy", name, spec).value().to_string();
    cluster.api.apply(&policy("shop/members", members));
    // A kind that is away is looked for every ten seconds at the longest.
    wait::until(wait::PATIENCE * 2, "the policy in force", denied);
    let removed = cluster
        .api
        .kubectl(&["delete", "authorizationpolicy", "members", "--namespace=shop"]);
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    wait::until(wait::PATIENCE, "the policy gone", || !denied());

    cluster.api.apply(&policy("plain/bad", json!({"rules": 7})));
    cluster.api.apply(&policy("shop/bad", json!({"rules": 7})));
    wait::until(wait::PATIENCE, "the bad policy denying", denied);
    let shown = cluster.agent.debug(&["policy", "show"]).to_string();
    assert!(shown.contains("spec.rules: invalid type"), "{shown}");
    let told = cluster
        .agent
        .logged()
        .matches("AuthorizationPolicy shop/bad: spec.rules")
        .count();
    assert_eq!(told, 1, "one line of the log");
    cluster.label("plain", "weft.dev/mesh=enabled");
    let late = cluster.pod("plain/late");
    wait_captured(&cluster.node, &late);
}

/// An agent may do what an installation lets it do, and no more.
fn grant(api: &ApiServer) {
    let installed = include_str!("../deploy/agent.yaml").split("\n---\n");
    installed
        .filter(|object| object.contains("kind: ClusterRole"))
        .for_each(|object| api.apply(object));
}

fn service(number: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("service-{number}"), "namespace": "plain"},
        "spec": {"selector": {"app": "none"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// A slice as large as the controller makes them.
fn full_slice(number: u64) -> Value {
    let endpoints = (0..PER_SLICE).map(|host| {
        json!({
            "addresses": [format!("10.{}.{}.{}", 200 + number / 100, number % 100, host + 1)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}.example.internal", host % 50),
            "zone": "region-1a",
            "targetRef": {
                "kind": "Pod", "namespace": "plain", "name": format!("service-{number}-7d4b9c6f5d-{host:05}"),
                "uid": format!("6f1c2d3e-{number:04x}-4a5b-8c9d-{host:012x}"),
            },
        })
    });
    let name = format!("service-{number}");
    let slice = Object::slice(&format!("plain/{name}-x"), &name, &[("http", 8080)]);
    let mut slice = slice.value().clone();
    slice["endpoints"] = endpoints.collect();
    slice
}

/// A kind of Weft's, whose objects the server takes whatever they hold.
fn anything_goes(kind: &str, plural: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.mesh.weft.dev")},
        "spec": {
            "group": "mesh.weft.dev",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

/// How many slices are many.
const SLICES: u64 = 100;

/// How many endpoints the controller puts into a slice.
const PER_SLICE: u64 = 100;

/// Whom an installation lets read the mesh.
const ACCOUNT: &str = "system:serviceaccount:weft-system:weft-agent";

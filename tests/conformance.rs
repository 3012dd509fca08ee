//! The cases that the Gateway API's own conformance suite has for meshes, by its names: the same routes in manifests and
//! the same expectations, here within seconds. The suite itself runs on the two-node Kubernetes.
//!
//! What Weft promises beyond it is in `routes.rs`.

mod ask;
mod cases;
mod routes;

use std::collections::BTreeMap;

use harness::{Addresses, Answer, App, Family, Http2, Object, Pod, Server, wait};
use serde_json::json;

use self::{
    ask::{Ask, Client},
    cases::{CASES, Case, Expected},
};
use crate::mesh::{Mesh, wait_captured};

/// The suite's services and applications: `echo-v1` on one node, `echo-v2` on the other, and `echo` in front of both.
struct Suite {
    pods: [Pod; 2],
    consumer: Pod,
    _servers: Vec<Server>,
    mesh: Mesh,
}

// === impl Suite ===

impl Suite {
    fn start() -> Self {
        let mesh = Mesh::start_secured();
        for namespace in [NAMESPACE, CONSUMERS] {
            mesh.lab.manifests().enrolled(namespace);
        }
        let pod = |node: usize, namespace: &str, version: &str| {
            let pod = mesh.nodes[node].pod(&format!("{namespace}/echo-{version}"));
            let pod = pod.label("app", "echo").label("version", version).start();
            wait_captured(&mesh.nodes[node], &pod);
            pod
        };
        let pods = [pod(0, NAMESPACE, "v1"), pod(1, NAMESPACE, "v2")];
        let consumer = pod(0, CONSUMERS, "v1");
        let servers = pods
            .iter()
            .flat_map(|pod| [pod.serve(8080, App::HttpMirror), pod.serve(7070, App::Http2Mirror)]);
        let servers = servers.collect();
        for (name, addresses, selector) in [
            ("echo", ECHO, json!({ "app": "echo" })),
            ("echo-v1", ECHO_V1, json!({ "app": "echo", "version": "v1" })),
            ("echo-v2", ECHO_V2, json!({ "app": "echo", "version": "v2" })),
        ] {
            let service = Object::service(&format!("{NAMESPACE}/{name}"), addresses, "echo").spec("selector", selector);
            let service = service.port("http", 80, 8080).port("http-alt", 8080, 8080);
            mesh.apply(&service.port("grpc", 7070, 7070));
        }
        mesh.wait_certified();
        Self {
            pods,
            consumer,
            _servers: servers,
            mesh,
        }
    }

    /// Runs the work while the case's routes are there.
    fn with(&self, case: &Case, work: impl FnOnce()) {
        let routes = (case.routes)();
        for route in &routes {
            self.mesh.apply(route);
        }
        work();
        for route in &routes {
            self.mesh.lab.manifests().delete(route);
        }
    }

    /// What is wrong with what came of a request, if anything is.
    fn wrong(&self, ask: &Ask, family: Family) -> Option<String> {
        let client = match ask.client {
            Client::Producer => &self.pods[0],
            Client::Consumer => &self.consumer,
        };
        let addresses = match ask.to {
            "echo" => ECHO,
            "echo-v1" => ECHO_V1,
            "echo-v2" => ECHO_V2,
            "the pod of echo-v2" => self.pods[1].addresses(),
            other => panic!("no service {other}"),
        };
        let lines: String = ask
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let stream = client.connect(addresses.at(family, ask.port)).ok();
        let host = ask.host.unwrap_or(ask.to);
        let answer = stream.and_then(|stream| Answer::of(&stream, host, ask.path, &lines));
        let Some(answer) = answer else {
            return Some("no answer".to_owned());
        };
        (!ask.holds(&answer)).then(|| told(&answer))
    }

    /// How many of so many requests each pod answers, on one connection.
    fn shares(&self, family: Family, grpc: bool) -> Option<BTreeMap<String, usize>> {
        let port = if grpc { 7070 } else { 80 };
        let stream = self.pods[0].connect(ECHO.at(family, port)).ok()?;
        let servers: Option<Vec<String>> = if grpc {
            let client = Http2::open(stream)?;
            let answers = (0..REQUESTS).map(|_| client.call("/proto.EchoTestService/Echo"));
            let by = |answer: harness::Http2Answer| Some(answer.headers.get("server")?.to_str().ok()?.to_owned());
            answers
                .map(|answer| answer.filter(|answer| answer.grpc_status() == Some("0")).and_then(by))
                .collect()
        } else {
            let answers = (0..REQUESTS).map(|_| Answer::of(&stream, "echo", "/", ""));
            let by = |answer: Answer| answer.header("server").map(str::to_owned);
            answers
                .map(|answer| answer.filter(|answer| answer.status == 200).and_then(by))
                .collect()
        };
        let mut shares = BTreeMap::new();
        for server in servers? {
            *shares.entry(server).or_default() += 1;
        }
        Some(shares)
    }
}

#[test]
fn every_case_of_the_suite_is_here_by_its_name() {
    let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    assert_eq!(names, cluster::CONFORMANCE_TESTS);
}

#[test]
fn requests_go_as_the_suites_cases_expect() {
    let suite = Suite::start();
    for case in CASES {
        let Expected::Answers(asks) = case.expected else {
            continue;
        };
        println!("{}", case.name);
        suite.with(case, || {
            let all = || {
                Family::BOTH
                    .into_iter()
                    .flat_map(|family| asks.iter().map(move |ask| (family, ask)))
            };
            for (family, ask) in all() {
                let mut last = None;
                wait::until(wait::PATIENCE, format!("{}: {ask:?}", case.name), || {
                    let wrong = suite.wrong(ask, family);
                    if wrong != last {
                        println!("{family:?} {}: {wrong:?}", ask.path);
                    }
                    last = wrong;
                    last.is_none()
                });
            }
            // The first answers may be older than the routes.
            for (family, ask) in all() {
                assert_eq!(suite.wrong(ask, family), None, "{}: {ask:?}", case.name);
            }
        });
    }
}

#[test]
fn requests_and_calls_are_spread_as_the_suites_cases_expect() {
    let suite = Suite::start();
    for case in CASES {
        let Expected::Shares { grpc } = case.expected else {
            continue;
        };
        suite.with(case, || {
            for family in Family::BOTH {
                let mut last = None;
                let what = format!("{}: seven tenths and three", case.name);
                wait::until(wait::PATIENCE, what, || {
                    let shares = suite.shares(family, grpc);
                    if shares != last {
                        println!("{family:?} {}: {shares:?}", case.name);
                    }
                    last = shares;
                    last.as_ref().is_some_and(is_seven_tenths)
                });
            }
        });
    }
}

/// An answer in short, without what is another's each time.
fn told(answer: &Answer) -> String {
    let own = |line: &&str| !["date: ", "x-request-id: "].iter().any(|begin| line.starts_with(begin));
    let lines = answer.head.lines().chain(answer.body.lines()).filter(own);
    lines.collect::<Vec<_>>().join("; ")
}

/// As near as the suite asks for; it tries again, too.
fn is_seven_tenths(shares: &BTreeMap<String, usize>) -> bool {
    let count = |name: &str| shares.get(name).copied().unwrap_or_default();
    let (stable, canary) = (count("echo-v1"), count("echo-v2"));
    stable + canary == REQUESTS && stable.abs_diff(REQUESTS * 7 / 10) <= REQUESTS / 20
}

const NAMESPACE: &str = "gateway-conformance-mesh";
const CONSUMERS: &str = "gateway-conformance-mesh-consumer";
const ECHO: Addresses = Addresses::service(10);
const ECHO_V1: Addresses = Addresses::service(11);
const ECHO_V2: Addresses = Addresses::service(12);
const REQUESTS: usize = 500;

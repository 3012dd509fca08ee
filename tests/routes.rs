//! Routes of the Gateway API between real agents: what a rule says is what becomes of a request.

use std::io::{self, Write as _};

use harness::{Addresses, Answer, App, Family, Object, Pod, Server, wait};
use serde_json::{Value, json};

use crate::{mesh::Mesh, policy::is_of};

/// The services `mesh/web` on the client's node and `mesh/canary` on the other, a pod each.
struct Shop {
    client: Pod,
    web: Pod,
    canary: Pod,
    _servers: [Server; 2],
    mesh: Mesh,
}

impl Shop {
    fn start(rules: Value) -> Self {
        let mesh = Mesh::start_secured();
        let client = mesh.pod(0, "mesh/client");
        let serve = |node: usize, name: &str, addresses| {
            let service = Object::service(&format!("mesh/{name}"), addresses, name);
            mesh.serve(node, &service.port("http", 80, 8080), App::HttpMirror)
        };
        let ((web, stable), (canary, tested)) = (serve(0, "web", WEB), serve(1, "canary", CANARY));
        mesh.apply(&route("mesh/web", rules));
        mesh.wait_certified();
        let shop = Self {
            client,
            web,
            canary,
            _servers: [stable, tested],
            mesh,
        };
        for (family, addresses) in Family::BOTH
            .into_iter()
            .flat_map(|family| [(family, WEB), (family, CANARY)])
        {
            wait::until(wait::PATIENCE, "the services are served", || {
                let answer = shop.try_ask(addresses, family, "/words", "");
                answer.is_some_and(|answer| answer.status == 200)
            });
        }
        shop
    }

    fn ask(&self, family: Family, target: &str, headers: &str) -> Answer {
        self.try_ask(WEB, family, target, headers).expect("an answer")
    }

    fn try_ask(&self, service: Addresses, family: Family, target: &str, headers: &str) -> Option<Answer> {
        Answer::to(&self.client.connect(service.at(family, 80)).ok()?, target, headers)
    }
}

/// What makes a body, of which nobody knows the length, of the end of a request's header.
const BODY: &str = "Transfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\n0\r\n";

/// A route of this kind and name for the port 80 of the service `mesh/web`.
pub(crate) fn route_of(kind: &str, name: &str, rules: Value) -> Object {
    let parent = json!({ "group": "", "kind": "Service", "name": "web", "port": 80 });
    Object::route(kind, name, parent, rules)
}

/// Such a route of requests.
pub(crate) fn route(name: &str, rules: Value) -> Object {
    route_of("HTTPRoute", name, rules)
}

fn path(kind: &str, value: &str) -> Value {
    json!([{ "path": { "type": kind, "value": value } }])
}

#[test]
fn each_request_gets_what_the_rule_for_it_says_and_404_where_there_is_none() {
    let shop = Shop::start(json!([
        {
            "name": "testers",
            "matches": [{ "headers": [{ "name": "x-tester", "value": "yes" }] }],
            "filters": [{ "type": "ResponseHeaderModifier", "responseHeaderModifier": {
                "add": [{ "name": "x-rule", "value": "testers" }] } }],
            "backendRefs": [{ "name": "canary", "port": 80, "filters": [
                { "type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{ "name": "x-backend", "value": "canary" }], "remove": ["x-tester"] } }] }],
        },
        {
            "matches": path("PathPrefix", "/old"),
            "filters": [{ "type": "RequestRedirect", "requestRedirect": {
                "statusCode": 301, "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new" } } }],
        },
        {
            "matches": path("Exact", "/rewritten"),
            "filters": [{ "type": "URLRewrite", "urlRewrite": {
                "hostname": "inside.example", "path": { "type": "ReplaceFullPath", "replaceFullPath": "/target" } } }],
            "backendRefs": [{ "name": "web", "port": 80 }],
        },
        { "matches": path("Exact", "/nowhere"), "backendRefs": [{ "name": "nowhere", "port": 80 }] },
        { "matches": path("Exact", "/words"), "backendRefs": [{ "name": "web", "port": 80 }] },
    ]));
    for family in Family::BOTH {
        let plain = shop.ask(family, "/words", "");
        assert_eq!(plain.status, 200);
        assert!(
            !plain.head.contains("x-rule") && !plain.body.contains("x-backend"),
            "{}",
            plain.body
        );

        let tester = shop.ask(family, "/anything", "X-Tester: yes\r\n");
        assert_eq!(tester.status, 200);
        assert!(
            tester.head.to_lowercase().contains("x-rule: testers"),
            "{}",
            tester.head
        );
        assert!(
            tester.body.to_lowercase().contains("x-backend: canary"),
            "{}",
            tester.body
        );
        assert!(!tester.body.to_lowercase().contains("x-tester"), "{}", tester.body);

        let moved = shop.ask(family, "/old/page?q=1", "");
        assert_eq!(moved.status, 301);
        assert!(
            moved.head.contains("location: http://web/new/page?q=1\r\n"),
            "{}",
            moved.head
        );

        let rewritten = shop.ask(family, "/rewritten?q=1", "");
        assert_eq!(rewritten.status, 200);
        assert!(
            rewritten.body.contains("GET /target?q=1 HTTP/1.1"),
            "{}",
            rewritten.body
        );
        assert!(
            rewritten.body.to_lowercase().contains("host: inside.example"),
            "{}",
            rewritten.body
        );

        for (target, status, reason) in [("/nowhere", 500, "backend_not_resolved"), ("/else", 404, "no_route")] {
            let refused = shop.ask(family, target, "");
            assert_eq!((refused.status, refused.body), (status, format!("weft: {reason}\n")));
        }
    }
    let record = shop.mesh.agents[0].record("a tester's request", |record| record["path"] == "/anything");
    assert_eq!(record["route"], "HTTPRoute mesh/web/testers");
    assert_eq!(record["service"], "mesh/web");
    assert_eq!(record["security"], "mutual_tls");
}

#[test]
fn a_request_whose_time_is_over_gets_504_or_no_more_of_its_response() {
    let limited = |path_of: &str, backend: &str, timeouts: Value| {
        json!({
            "matches": path("Exact", path_of),
            "timeouts": timeouts,
            "backendRefs": [{ "name": backend, "port": 80 }],
        })
    };
    let shop = Shop::start(json!([
        limited("/words", "web", json!({ "request": "10s", "backendRequest": "9s" })),
        limited("/silent", "silent", json!({ "request": "300ms" })),
        limited(
            "/silent-once",
            "silent",
            json!({ "request": "1h", "backendRequest": "300ms" })
        ),
        limited("/half", "half", json!({ "request": "500ms" })),
        limited(
            "/half-once",
            "half",
            json!({ "request": "0s", "backendRequest": "500ms" })
        ),
        limited("/flood", "flood", json!({ "request": "500ms" })),
    ]));
    let slow = shop.mesh.nodes[1].pod("mesh/slow").label("app", "slow").start();
    crate::mesh::wait_captured(&shop.mesh.nodes[1], &slow);
    let served = [
        ("silent", 16, 8081, App::Stall),
        ("half", 17, 8082, App::HttpHalf),
        ("flood", 18, 8083, App::HttpFlood),
    ];
    let _servers = served.map(|(.., port, app)| slow.serve(port, app));
    for (name, number, port, _) in served {
        let service = Object::service(&format!("mesh/{name}"), Addresses::service(number), "slow");
        shop.mesh.apply(&service.port("http", 80, port));
    }
    shop.mesh.wait_certified();
    for family in Family::BOTH {
        let stream = shop.client.connect(WEB.at(family, 80)).unwrap();
        for _ in 0..3 {
            assert_eq!(Answer::to(&stream, "/words", "").unwrap().status, 200);
        }
        for target in ["/silent", "/silent-once"] {
            let mut answer = None;
            wait::until(wait::PATIENCE, "the backend known", || {
                answer = Some(shop.ask(family, target, "")).filter(|answer| answer.status == 504);
                answer.is_some()
            });
            assert_eq!(answer.unwrap().header("x-weft-reason"), Some("upstream_timeout"));
        }
        for target in ["/half", "/half-once", "/flood"] {
            let mut stream = shop.client.connect(WEB.at(family, 80)).unwrap();
            write!(stream, "GET {target} HTTP/1.1\r\nHost: web\r\n\r\n").unwrap();
            // However it ends.
            let _ = io::copy(&mut stream, &mut io::sink());
            let record = shop.mesh.agents[0].record("a request cut", |record| {
                record["path"] == target && is_of(record, family) && record["status"] == 200
            });
            assert_eq!(record["reason"], "upstream_timeout", "{record}");
        }
    }
}

#[test]
fn requests_are_split_by_weight_also_on_one_connection() {
    let backend = |name: &str, weight: u32| json!({ "name": name, "port": 80, "weight": weight });
    let shop = Shop::start(json!([
        { "matches": path("Exact", "/split"), "backendRefs": [backend("web", 9), backend("canary", 1)] },
        { "matches": path("Exact", "/none"), "backendRefs": [backend("web", 0), backend("canary", 1)] },
        { "matches": path("Exact", "/words"), "backendRefs": [{ "name": "web", "port": 80 }] },
    ]));
    for family in Family::BOTH {
        let stream = shop.client.connect(WEB.at(family, 80)).unwrap();
        let served = |target: &str, app: &Pod| {
            let to = app.addresses().at(family, 8080).to_string();
            let records = shop.mesh.agents[0].records();
            let so = |record: &&Value| {
                record["path"] == target && record["direction"] != "inbound" && record["destination"] == to
            };
            records.iter().filter(so).count()
        };
        for (target, both) in [("/split", true), ("/none", false)] {
            for _ in 0..REQUESTS {
                assert_eq!(Answer::to(&stream, target, "").unwrap().status, 200);
            }
            let counts = || (served(target, &shop.web), served(target, &shop.canary));
            wait::until(wait::PATIENCE, "a record of each request", || {
                counts().0 + counts().1 == REQUESTS
            });
            let (stable, canary) = counts();
            match both {
                true => assert!(stable > canary && canary > 0, "{stable} and {canary}"),
                false => assert_eq!((stable, canary), (0, REQUESTS)),
            }
        }
    }
}

#[test]
fn a_body_that_an_application_of_another_node_cannot_take_is_sent_again_where_the_rule_says_so() {
    let backends = json!([{ "name": "flaky", "port": 80 }]);
    let shop = Shop::start(json!([
        { "matches": path("Exact", "/words"), "backendRefs": [{ "name": "web", "port": 80 }] },
        { "matches": path("Exact", "/once"), "backendRefs": backends },
        {
            "matches": path("Exact", "/again"),
            "retry": { "attempts": 1, "codes": [500], "backoff": "10ms" },
            "backendRefs": backends,
        },
    ]));
    let [alive, _dead] = ["alive", "dead"].map(|name| {
        let pod = shop.mesh.nodes[1]
            .pod(&format!("mesh/{name}"))
            .label("app", "flaky")
            .start();
        crate::mesh::wait_captured(&shop.mesh.nodes[1], &pod);
        pod
    });
    let _server = alive.serve(8080, App::HttpMirror);
    let service = Object::service("mesh/flaky", Addresses::service(16), "flaky");
    shop.mesh.apply(&service.port("http", 80, 8080));
    shop.mesh.wait_certified();
    let other = shop.mesh.pod(0, "mesh/other");
    shop.mesh.wait_certified();
    for family in Family::BOTH {
        let status = |client: &Pod, target: &str| {
            let stream = client.connect(WEB.at(family, 80)).unwrap();
            Answer::to(&stream, target, BODY).expect("an answer").status
        };
        for expected in [200, 503] {
            // The one that has refused is asked last for some seconds.
            wait::until(wait::PATIENCE, "both endpoints, one of which serves", || {
                status(&shop.client, "/once") == expected
            });
        }
        let such = |record: &Value| record["path"] == "/again" && is_of(record, family) && record["retries"] == 1;
        let record = wait::until_some(wait::PATIENCE, "a request tried again", || {
            assert_eq!(status(&other, "/again"), 200);
            shop.mesh.agents[0].records().into_iter().find(such)
        });
        assert_eq!(
            (&record["reason"], &record["security"]),
            (&Value::Null, &"mutual_tls".into())
        );
    }
    let retried = |cause: &str| shop.mesh.agents[0].metric("weft_request_retries_total", &[cause]);
    assert!(retried("cause=\"connection\"") > 0.0);
    assert!(
        retried("cause=\"status\"") == 0.0,
        "another agent's refusal is no status of the backend's"
    );
}

#[test]
fn copies_of_requests_reach_a_mirror_on_another_node_and_nobody_hears_of_its_answers() {
    let shop = Shop::start(json!([
        { "matches": path("Exact", "/words"), "backendRefs": [{ "name": "web", "port": 80 }] },
        {
            "matches": path("Exact", "/copied"),
            "filters": [{ "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "canary", "port": 80 } } }],
            "backendRefs": [{ "name": "web", "port": 80 }],
        },
    ]));
    for family in Family::BOTH {
        for _ in 0..20 {
            let answer = shop.ask(family, "/copied", "");
            assert!(
                answer.status == 200 && answer.body.contains("GET /copied"),
                "{}",
                answer.body
            );
        }
        let ids = |agent: usize, app: &Pod| {
            let to = app.addresses().at(family, 8080).to_string();
            let records = shop.mesh.agents[agent].records();
            let such = |record: &&Value| record["path"] == "/copied" && record["destination"] == to;
            let mut ids: Vec<_> = records
                .iter()
                .filter(such)
                .map(|record| record["request_id"].to_string())
                .collect();
            ids.sort();
            ids
        };
        wait::until(
            wait::PATIENCE,
            "a record of each request and of each copy at its end",
            || {
                [ids(0, &shop.web), ids(1, &shop.canary)]
                    .iter()
                    .all(|ids| ids.len() == 20)
            },
        );
        assert_eq!(ids(0, &shop.web), ids(1, &shop.canary), "a copy keeps its request's id");
        assert!(
            ids(0, &shop.canary).is_empty(),
            "of copies their agent keeps no records"
        );
        let record =
            shop.mesh.agents[1].record("a copy", |record| record["path"] == "/copied" && is_of(record, family));
        assert_eq!(record["security"], "mutual_tls");
    }
    let copied = |outcome: &str| shop.mesh.agents[0].metric("weft_mirrored_requests_total", &[outcome]);
    wait::until(wait::PATIENCE, "all are counted", || {
        copied("outcome=\"answered\"") == 40.0
    });
}

const WEB: Addresses = Addresses::service(10);
const CANARY: Addresses = Addresses::service(11);
/// Of so many, none of a tenth is as good as impossible: 0.9 to this power.
const REQUESTS: usize = 200;

//! Routes of the Gateway API between real agents: what a rule says is what becomes of a request.

use harness::{Addresses, Answer, App, Family, Object, Pod, Server, wait};
use serde_json::{Value, json};

use crate::mesh::Mesh;

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
            let pod = mesh.nodes[node].pod(&format!("mesh/{name}")).label("app", name).start();
            crate::mesh::wait_captured(&mesh.nodes[node], &pod);
            mesh.apply(&Object::service(&format!("mesh/{name}"), addresses, name).port("http", 80, 8080));
            let server = pod.serve(8080, App::HttpMirror);
            (pod, server)
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

fn route(name: &str, rules: Value) -> Object {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    Object::new(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "namespace": namespace, "name": name },
        "spec": {
            "parentRefs": [{ "group": "", "kind": "Service", "name": "web", "port": 80 }],
            "rules": rules,
        },
    }))
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

const WEB: Addresses = Addresses::service(10);
const CANARY: Addresses = Addresses::service(11);
/// Of so many, none of a tenth is as good as impossible: 0.9 to this power.
const REQUESTS: usize = 200;

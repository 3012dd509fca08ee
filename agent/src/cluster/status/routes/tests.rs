//! What routes are told, from what was written of them.

use serde_json::from_value;

use super::{super::tests::mk_services, *};

fn mk_route(kind: Kind, name: &str, spec: Json, status: Json) -> (Key, WrittenRoute) {
    let object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.label(),
        "metadata": { "namespace": "shop", "name": name, "generation": 3, "resourceVersion": "7" },
        "spec": spec,
        "status": status,
    });
    let key = Key {
        kind,
        name: ObjectName::new("shop", name),
    };
    (key, WrittenRoute::new(kind, from_value(object).expect("an object")))
}

fn spec(parent: &str, backend: Json) -> Json {
    json!({
        "parentRefs": [{ "name": "gateway" }, { "group": "", "kind": "Service", "name": parent, "port": 443 }],
        "rules": [{ "backendRefs": [backend] }],
    })
}

fn cart() -> Json {
    json!({ "name": "cart", "port": 443 })
}

fn judged(routes: Vec<(Key, WrittenRoute)>) -> Vec<Option<Json>> {
    let verdicts = judge_routes(&routes.into_iter().collect(), &mk_services(), Timestamp::UNIX_EPOCH);
    verdicts.into_iter().map(|verdict| verdict.wanted).collect()
}

/// Status and reason of both conditions, for the first parent.
fn told(routes: Vec<(Key, WrittenRoute)>) -> Vec<String> {
    let texts = judged(routes).into_iter().map(|wanted| {
        let wanted = wanted.expect("to be written");
        let conditions = wanted["parents"][0]["conditions"]
            .as_array()
            .expect("conditions")
            .clone();
        let texts = conditions
            .iter()
            .map(|condition| format!("{} {} {}", condition["type"], condition["status"], condition["reason"]));
        texts.collect::<Vec<_>>().join(", ").replace('"', "")
    });
    texts.collect()
}

#[test]
fn a_good_route_is_accepted_for_its_service_once_and_others_entries_stay() {
    let other = json!({ "parentRef": { "name": "gateway" }, "controllerName": "example.com/other", "conditions": [] });
    let before = json!({ "parents": [other] });
    let wanted = judged(vec![mk_route(Kind::HttpRoute, "a", spec("cart", cart()), before)])
        .remove(0)
        .unwrap();
    let condition = |kind: &str, reason: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 3,
        })
    };
    let ours = json!({
        "parentRef": { "group": "", "kind": "Service", "name": "cart", "port": 443 },
        "controllerName": "weft.dev/controller",
        "conditions": [condition("Accepted", "Accepted"), condition("ResolvedRefs", "ResolvedRefs")],
    });
    assert_eq!(wanted, json!({ "parents": [other, ours] }));
    assert_eq!(
        judged(vec![mk_route(Kind::HttpRoute, "a", spec("cart", cart()), wanted)]),
        [None]
    );
}

#[test]
fn what_a_route_names_and_is_not_there_is_told() {
    let route = |parent, backend| vec![mk_route(Kind::HttpRoute, "a", spec(parent, backend), Json::Null)];
    let accepted = "Accepted True Accepted, ResolvedRefs False";
    assert_eq!(
        told(route("ghost", cart())),
        ["Accepted False NoMatchingParent, ResolvedRefs True ResolvedRefs"]
    );
    assert_eq!(
        told(route("cart", json!({ "name": "ghost", "port": 80 }))),
        [format!("{accepted} BackendNotFound")]
    );
    assert_eq!(
        told(route(
            "cart",
            json!({ "kind": "Bucket", "group": "example.com", "name": "b" })
        )),
        [format!("{accepted} InvalidKind")]
    );
}

#[test]
fn routes_for_connections_are_told_as_those_for_requests_are() {
    let route = |kind, name, parent, backend| mk_route(kind, name, spec(parent, backend), Json::Null);
    let tcp = |parent, backend| route(Kind::TcpRoute, "tcp", parent, backend);
    let good = "Accepted True Accepted, ResolvedRefs True ResolvedRefs";
    assert_eq!(told(vec![tcp("cart", cart())]), [good]);
    assert_eq!(
        told(vec![tcp("cart", json!({ "name": "ghost", "port": 80 }))]),
        ["Accepted True Accepted, ResolvedRefs False BackendNotFound"]
    );
    assert_eq!(
        told(vec![tcp("ghost", cart())]),
        ["Accepted False NoMatchingParent, ResolvedRefs True ResolvedRefs"]
    );
    let tls = |servers: Json| {
        let mut spec = spec("cart", cart());
        spec["hostnames"] = servers;
        mk_route(Kind::TlsRoute, "tls", spec, Json::Null)
    };
    assert_eq!(told(vec![tls(json!(["*.example"]))]), [good]);
    assert_eq!(
        told(vec![tls(json!(["10.0.0.1"]))]),
        ["Accepted False UnsupportedValue"]
    );
    let http = route(Kind::HttpRoute, "http", "cart", cart());
    assert_eq!(
        told(vec![http, tcp("cart", cart())]),
        [good, "Accepted False Conflicted, ResolvedRefs True ResolvedRefs"]
    );
}

#[test]
fn what_is_not_understood_is_an_unsupported_value() {
    let odd = mk_route(
        Kind::HttpRoute,
        "a",
        spec("cart", json!({ "name": "cart", "port": 443, "x": 1 })),
        Json::Null,
    );
    assert_eq!(told(vec![odd]), ["Accepted False UnsupportedValue"]);
}

#[test]
fn of_two_kinds_for_one_port_the_lesser_is_told_of_the_other() {
    let routes = [Kind::GrpcRoute, Kind::HttpRoute].map(|kind| mk_route(kind, "a", spec("cart", cart()), Json::Null));
    assert_eq!(
        told(routes.into()),
        [
            "Accepted True Accepted, ResolvedRefs True ResolvedRefs",
            "Accepted False Conflicted, ResolvedRefs True ResolvedRefs"
        ]
    );
}

#[test]
fn a_route_of_gateways_only_is_left_alone() {
    let spec = json!({ "parentRefs": [{ "name": "gateway" }] });
    assert_eq!(judged(vec![mk_route(Kind::HttpRoute, "a", spec, Json::Null)]), [None]);
}

//! What policies are told, from what was written of them.

use serde_json::{Value as Json, from_value};

use super::*;

fn mk_policy(kind: Kind, name: &str, spec: Json, status: Json) -> (Key, WrittenPolicy) {
    let object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.label(),
        "metadata": {
            "namespace": "shop",
            "name": name,
            "generation": 3,
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
        "status": status,
    });
    let key = Key {
        kind,
        name: ObjectName::new("shop", name),
    };
    (key, WrittenPolicy::new(kind, from_value(object).expect("an object")))
}

pub(super) fn mk_services() -> BTreeMap<ObjectName, Arc<Service>> {
    let object = json!({
        "metadata": { "namespace": "shop", "name": "cart" },
        "spec": {
            "clusterIP": "10.96.0.7",
            "selector": { "app": "cart" },
            "ports": [{ "name": "https", "port": 443, "targetPort": 8443 }],
        },
    });
    let cart = service(from_value(object).expect("a Service")).expect("a good one");
    BTreeMap::from([(ObjectName::new("shop", "cart"), cart)])
}

fn mk_caller() -> Caller {
    let object = json!({
        "metadata": { "name": "checks" },
        "webhooks": [{
            "name": "checks.shop",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": { "service": { "namespace": "shop", "name": "cart" } },
        }],
    });
    let written: ValidatingWebhookConfiguration = from_value(object).expect("a configuration");
    Caller::of_validating(written).expect("callers").remove(0)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// Judges one policy; gives what is to be written as JSON.
fn judged((key, policy): (Key, WrittenPolicy), callers: &[Caller]) -> Option<Json> {
    let written = BTreeMap::from([(key, policy)]);
    let verdict = judge(&written, &mk_services(), callers, at(0)).remove(0);
    verdict.wanted.map(|wanted| serde_json::to_value(wanted).expect("JSON"))
}

fn condition(status: &Json, ancestor: usize, kind: &str) -> Option<(String, String, String)> {
    let conditions = status["ancestors"][ancestor]["conditions"]
        .as_array()
        .expect("conditions");
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

const AUTHENTICATION: Kind = Kind::AuthenticationPolicy;

#[test]
fn a_good_policy_is_accepted_for_its_namespace_and_told_so_once() {
    let spec = json!({ "mtls": { "mode": "Strict" } });
    let first = judged(mk_policy(AUTHENTICATION, "strict", spec.clone(), Json::Null), &[]).expect("to be written");
    let expected = json!({ "ancestors": [{
        "ancestorRef": { "group": "", "kind": "Namespace", "name": "shop" },
        "controllerName": "weft.dev/controller",
        "conditions": [{
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "It holds",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
            "observedGeneration": 3,
        }],
    }] });
    assert_eq!(first, expected);
    let again = mk_policy(AUTHENTICATION, "strict", spec, first);
    let written = BTreeMap::from([again]);
    let later = judge(&written, &mk_services(), &[], at(1000)).remove(0);
    assert_eq!((later.accepted, later.wanted), (true, None), "nothing has changed");
}

#[test]
fn what_is_not_understood_is_invalid_and_says_where() {
    let spec = json!({ "mtls": { "mode": "Sometimes" } });
    let status = judged(mk_policy(AUTHENTICATION, "odd", spec, Json::Null), &[]).expect("to be written");
    let (is, reason, message) = condition(&status, 0, "Accepted").expect("it is told");
    assert_eq!((&*is, &*reason), ("False", "Invalid"));
    assert!(message.contains("spec.mtls.mode: `Sometimes`"), "{message}");
}

#[test]
fn a_target_that_is_missing_is_told_for_itself() {
    let target = |name: &str| json!({ "group": "", "kind": "Service", "name": name });
    let spec = json!({ "targetRefs": [target("cart"), target("ghost")], "mtls": { "mode": "Strict" } });
    let status = judged(mk_policy(AUTHENTICATION, "both", spec, Json::Null), &[]).expect("to be written");
    assert_eq!(status["ancestors"][0]["ancestorRef"]["name"], "cart");
    assert_eq!(condition(&status, 0, "Accepted").expect("told").0, "True");
    let (is, reason, message) = condition(&status, 1, "Accepted").expect("told");
    assert_eq!((&*is, &*reason), ("False", "TargetNotFound"));
    assert!(message.contains("there is no Service shop/ghost"), "{message}");
}

#[test]
fn the_younger_of_two_policies_for_one_value_is_told_of_the_older() {
    let strict = json!({ "mtls": { "mode": "Strict" } });
    let permissive = json!({ "mtls": { "mode": "Permissive" } });
    let written = BTreeMap::from([
        mk_policy(AUTHENTICATION, "a", strict, Json::Null),
        mk_policy(AUTHENTICATION, "b", permissive, Json::Null),
    ]);
    let verdicts = judge(&written, &mk_services(), &[], at(0));
    let accepted: Vec<(String, bool)> = verdicts
        .iter()
        .map(|verdict| (verdict.object(), verdict.accepted))
        .collect();
    let named = |name: &str| format!("AuthenticationPolicy shop/{name}");
    assert_eq!(accepted, [(named("a"), true), (named("b"), false)]);
}

#[test]
fn what_other_controllers_have_written_stays() {
    let theirs = json!({
        "ancestorRef": { "group": "", "kind": "Namespace", "name": "shop" },
        "controllerName": "example.com/other",
        "conditions": [],
    });
    let status = json!({ "ancestors": [theirs] });
    let policy = mk_policy(
        AUTHENTICATION,
        "strict",
        json!({ "mtls": { "mode": "Strict" } }),
        status,
    );
    let status = judged(policy, &[]).expect("to be written");
    assert_eq!(status["ancestors"][0], theirs);
    assert_eq!(status["ancestors"][1]["controllerName"], "weft.dev/controller");
}

#[test]
fn a_strict_port_that_the_api_server_calls_is_warned_of_unless_plaintext_may_come() {
    let warned = |spec: Json| {
        let status = judged(mk_policy(AUTHENTICATION, "strict", spec, Json::Null), &[mk_caller()]);
        condition(&status.expect("to be written"), 0, "Warned")
    };
    let (_, reason, message) = warned(json!({ "mtls": { "mode": "Strict" } })).expect("warned");
    assert_eq!(reason, "ApiServerRefused");
    let expected = "ValidatingWebhookConfiguration checks lets the API server call port 443 of Service shop/cart";
    assert!(message.starts_with(expected), "{message}");
    let selector = |app: &str| json!({ "selector": { "matchLabels": { "app": app } }, "mtls": { "mode": "Strict" } });
    assert!(warned(selector("cart")).is_some());
    for harmless in [
        selector("web"),
        json!({ "mtls": { "mode": "Permissive" } }),
        json!({ "mtls": { "mode": "Strict", "plaintextFrom": ["10.0.0.0/8"] } }),
        json!({ "mtls": { "mode": "Strict", "ports": [{ "port": 8443, "mode": "Permissive" }] } }),
    ] {
        assert_eq!(warned(harmless.clone()), None, "{harmless}");
    }
}

#[test]
fn an_authorization_policy_is_told_too() {
    let spec = json!({ "action": "ALLOW", "rules": [{ "from": [{ "namespaces": ["web"] }] }] });
    let policy = mk_policy(Kind::AuthorizationPolicy, "web", spec, Json::Null);
    let status = judged(policy, &[]).expect("to be written");
    assert!(condition(&status, 0, "Accepted").is_some(), "{status}");
}

//! Questions and their answers.

use serde_json::json;

use super::*;
use crate::model::{
    Endpoint,
    MtlsMode::*,
    Service,
    sample::{mk_endpoint, mk_port, mk_service},
};

fn question(query: &str) -> Question {
    query.parse().expect("a question")
}

fn mesh(policies: Policies) -> Mesh {
    let mut front = mk_pod("front", "10.0.0.2");
    front.service_account = "front".into();
    front.labels = mk_labels(&[("app", "front")]);
    let endpoint = Endpoint {
        pod: Some((PodUid::new("uid-web"), ObjectName::new("default", "web"))),
        ..mk_endpoint("10.0.0.1:8080")
    };
    let service = Service {
        ports: vec![mk_port(80, vec![endpoint, mk_endpoint("10.0.1.1:8080")])],
        ..mk_service("api", &["10.96.0.1"])
    };
    Mesh::new(mk_contents(
        vec![mk_pod("web", "10.0.0.1"), front],
        vec![service],
        policies,
    ))
}

/// The answer in a few words.
fn answered(mesh: &Mesh, query: &str) -> Vec<String> {
    let explained = mesh.explain(&question(query)).expect("an answer").into_iter();
    explained
        .map(|it| {
            let by = [it.policy.unwrap_or_default(), it.rule.unwrap_or_default()].join(" ");
            format!(
                "{}:{} {} {} {} {}",
                it.pod, it.port, it.allowed, it.reason, it.transport, by
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

#[test]
fn a_question_is_read_as_it_is_written() {
    for query in [
        "from=shop/front&to=shop/cart&port=80",
        "from=10.0.0.1&to=pod/cart&port=1&address=fd00::1",
        "from=spiffe://cluster.local/ns/a/sa/b&to=svc/shop/cart&port=80&label=app=front&label=example.org/tier=",
    ] {
        assert_eq!(question(query).to_string(), query);
    }
    for query in [
        "",
        "from=a&to=b",
        "from=a b&to=c&port=1",
        "from=a&to=b&port=x",
        "from=a&to=b&port=1&more=1",
    ] {
        assert!(query.parse::<Question>().is_err(), "{query}");
    }
}

#[test]
fn an_answer_is_what_is_decided() {
    let allow = mk_authorization(
        "allow",
        Action::Allow,
        vec![
            Rule {
                from: vec![],
                to: vec![Operation {
                    ports: vec![9],
                    ..Operation::default()
                }],
            },
            mk_rule(Source {
                pod_labels: mk_labels(&[("app", "front")]),
                ..Source::default()
            }),
        ],
    );
    let mesh = mesh(mk_policies(vec![allow], vec![]));
    let matched = "default/web:8080 true allow_matches mtls AuthorizationPolicy default/allow spec.rules[1]";
    assert_eq!(
        answered(&mesh, "from=default/front&to=default/web&port=8080"),
        [matched]
    );
    assert_eq!(answered(&mesh, "from=10.0.0.2&to=svc/api&port=80"), [matched]);
    assert_eq!(answered(&mesh, "from=front&to=api&port=80"), [matched]);
    let unmatched = "default/web:8080 false no_allow_matches plaintext AuthorizationPolicy default/allow";
    assert_eq!(answered(&mesh, "from=10.9.9.9&to=api&port=80"), [unmatched]);
    let by_identity = "from=spiffe://cluster.local/ns/default/sa/front&to=api&port=80";
    assert_eq!(answered(&mesh, by_identity), [unmatched.replace("plaintext", "mtls")]);
    assert_eq!(answered(&mesh, &format!("{by_identity}&label=app=front")), [matched]);
    let told = mesh.explain(&question(by_identity)).expect("an answer")[0].to_string();
    let decided = "AuthorizationPolicy default/allow, which lets in others; no other ALLOW policy matches either";
    assert_eq!(told.lines().nth(2), Some(&*format!("  decided  {decided}")), "{told}");
}

#[test]
fn plaintext_to_strict_is_refused_by_the_policy_that_says_so() {
    let mesh = mesh(mk_policies(vec![], vec![mk_authentication("strict", Strict)]));
    assert_eq!(
        answered(&mesh, "from=10.9.9.9&to=web&port=80"),
        ["default/web:80 false plaintext_refused plaintext AuthenticationPolicy default/strict"]
    );
    assert_eq!(
        answered(&mesh, "from=front&to=web&port=80"),
        ["default/web:80 true no_allow_policy mtls"]
    );
}

#[test]
fn nobody_and_nowhere_have_no_answer() {
    let mesh = mesh(Policies::default());
    let error = |query| mesh.explain(&question(query)).unwrap_err();
    assert_eq!(error("from=none&to=web&port=80"), Unanswerable::NoCaller("none".into()));
    assert_eq!(
        error("from=front&to=none&port=80"),
        Unanswerable::NoDestination("none".into())
    );
    assert_eq!(
        error("from=front&to=pod/api&port=80"),
        Unanswerable::NoDestination("pod/api".into())
    );
    assert_eq!(
        error("from=front&to=api&port=81"),
        Unanswerable::NoDestination("api".into())
    );
}

#[test]
fn an_explanation_keeps_its_json_keys_and_reads_as_sentences() {
    let mut strict = mk_authentication("strict", Strict);
    strict.mtls.plaintext_from = Some(["10.9.0.0/16".parse().unwrap()].into());
    let policies = vec![
        mk_authorization("allow", Action::Allow, vec![Rule::default()]),
        mk_authorization("audit", Action::Audit, vec![Rule::default()]),
    ];
    let mesh = mesh(mk_policies(policies, vec![strict]));
    let explained = mesh.explain(&question("from=front&to=api&port=80")).expect("an answer");
    assert_eq!(
        serde_json::to_value(&explained).unwrap(),
        json!([{
            "from_pod": "default/front", "from_identity": "spiffe://cluster.local/ns/default/sa/front",
            "from_labels": {"app": "front"}, "from_address": "10.0.0.2",
            "pod": "default/web", "port": 8080, "node": "node-1", "transport": "mtls",
            "allowed": true, "reason": "allow_matches",
            "policy": "AuthorizationPolicy default/allow", "rule": "spec.rules[0]",
            "mtls_mode": "Strict", "mtls_policy": "AuthenticationPolicy default/strict",
            "plaintext_from": ["10.9.0.0/16"], "audited": ["default/audit"],
        }])
    );
    assert_eq!(
        explained[0].to_string(),
        "default/web port 8080 on node-1: allowed (allow_matches)\n  \
         from     spiffe://cluster.local/ns/default/sa/front, pod default/front, at 10.0.0.2, with app=front, by mtls\n  \
         decided  AuthorizationPolicy default/allow, spec.rules[0]\n  \
         mtls     Strict, by AuthenticationPolicy default/strict, plaintext from 10.9.0.0/16\n  \
         audited  default/audit"
    );
}

#[test]
fn the_policies_of_each_pod_are_told() {
    let partial = AuthorizationPolicy {
        support: Support::Partial,
        target: Target::Selector(mk_labels(&[("app", "front")])),
        ..mk_authorization("partial", Action::Allow, vec![Rule::default()])
    };
    let mesh = mesh(mk_policies(vec![partial], vec![mk_authentication("strict", Strict)]));
    assert_eq!(
        serde_json::to_value(mesh.policy_views()).unwrap(),
        json!([
            {
                "pod": "default/front", "kind": "AuthenticationPolicy", "namespace": "default", "name": "strict",
                "action": "Strict", "ports": [], "rules": 0, "understood": true, "problems": [],
            },
            {
                "pod": "default/front", "kind": "AuthorizationPolicy", "namespace": "default", "name": "partial",
                "action": "ALLOW", "ports": [], "rules": 1, "understood": false, "problems": [],
            },
            {
                "pod": "default/web", "kind": "AuthenticationPolicy", "namespace": "default", "name": "strict",
                "action": "Strict", "ports": [], "rules": 0, "understood": true, "problems": [],
            },
        ])
    );
}

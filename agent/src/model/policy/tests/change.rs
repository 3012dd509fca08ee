//! What a change of the mesh does to what was compiled.

use super::*;
use crate::model::{MtlsMode::*, OnAgentFailure, sample::mk_pod};

fn deny(namespace: &str) -> AuthorizationPolicy {
    AuthorizationPolicy {
        name: ObjectName::new(namespace, "deny"),
        ..mk_authorization("p", Action::Deny, vec![Rule::default()])
    }
}

fn pods() -> Vec<Pod> {
    let mut other = mk_pod("other", "10.0.0.2");
    other.name = ObjectName::new("other", "other");
    vec![mk_pod("web", "10.0.0.1"), other]
}

fn same(before: &Mesh, after: &Mesh, pod: &str) -> bool {
    let uid = PodUid::new(format!("uid-{pod}"));
    let policies = |mesh: &Mesh| std::ptr::from_ref(mesh.compiled.of(&uid).expect("the mesh has it"));
    policies(before) == policies(after)
}

#[test]
fn a_policy_is_compiled_for_the_namespace_that_it_holds_for_and_no_other() {
    let before = mk_guarded(pods(), Policies::default());
    let contents = mk_contents(pods(), vec![], mk_policies(vec![deny("default")], vec![]));
    let after = before.changed(contents).expect("differs");
    assert_eq!(
        decided(&after, 80, &plaintext("10.0.0.9")),
        "deny_matches by default/deny[0]"
    );
    assert!(!same(&before, &after, "web"));
    assert!(same(&before, &after, "other"));
}

#[test]
fn a_pods_labels_decide_anew() {
    let policy = AuthorizationPolicy {
        target: Target::Selector(mk_labels(&[("app", "web")])),
        ..deny("default")
    };
    let policies = || mk_policies(vec![policy.clone()], vec![]);
    let before = mk_guarded(pods(), policies());
    assert_eq!(decided(&before, 80, &plaintext("10.0.0.9")), "allowed");
    let mut pods = pods();
    pods[0].labels = mk_labels(&[("app", "web")]);
    let after = before.changed(mk_contents(pods, vec![], policies())).expect("differs");
    assert!(decided(&after, 80, &plaintext("10.0.0.9")).starts_with("deny_matches"));
    assert!(same(&before, &after, "other"));
}

#[test]
fn equal_policies_are_no_change() {
    let policies = || mk_policies(vec![deny("default")], vec![mk_authentication("p", Strict)]);
    let before = mk_guarded(pods(), policies());
    assert!(before.changed(mk_contents(pods(), vec![], policies())).is_none());
}

#[test]
fn a_pod_fails_closed_as_long_as_a_policy_is_strict() {
    let before = mk_guarded(pods(), mk_policies(vec![], vec![mk_authentication("p", Strict)]));
    assert_eq!(web(&before).on_agent_failure, OnAgentFailure::Closed);
    let mut more = pods();
    more.push(mk_pod("new", "10.0.0.3"));
    let policies = mk_policies(vec![], vec![mk_authentication("p", Strict)]);
    let between = before.changed(mk_contents(more, vec![], policies)).expect("differs");
    assert!(Arc::ptr_eq(&web(&before), &web(&between)));
    let after = between
        .changed(mk_contents(pods(), vec![], Policies::default()))
        .expect("differs");
    assert_eq!(web(&after).on_agent_failure, OnAgentFailure::Open);
}

#[test]
fn another_trust_domain_is_another_meaning() {
    let allow = mk_authorization(
        "p",
        Action::Allow,
        vec![mk_rule(Source {
            namespaces: vec!["shop".into()],
            ..Source::default()
        })],
    );
    let policies = || mk_policies(vec![allow.clone()], vec![]);
    let before = mk_guarded(pods(), policies());
    let mut contents = mk_contents(pods(), vec![], policies());
    contents.config.trust_domain = "example.org".into();
    let after = before.changed(contents).expect("differs");
    let identity = mk_identity("shop", "cart");
    assert!(decided(&before, 80, &proven(&identity, "10.0.0.9")).starts_with("allowed"));
    assert_eq!(decided(&after, 80, &proven(&identity, "10.0.0.9")), UNMATCHED);
}

#[test]
fn a_network_policys_fingerprint_is_its_namespaces() {
    let policies = Policies {
        network_policies: BTreeMap::from([("default".into(), 7)]),
        ..Policies::default()
    };
    let mesh = mk_guarded(pods(), policies);
    assert_eq!(
        (
            mesh.network_policy_version("default"),
            mesh.network_policy_version("other")
        ),
        (7, 0)
    );
}

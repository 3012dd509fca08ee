//! For which pods and ports a policy holds.

use super::*;
use crate::model::sample::mk_pod;

/// Denies everybody, for this target.
fn deny(name: ObjectName, target: Target) -> AuthorizationPolicy {
    AuthorizationPolicy {
        name,
        target,
        ..mk_authorization("p", Action::Deny, vec![Rule::default()])
    }
}

/// The ports among 80 and 81 of `default/web` that such a policy closes; a Service `web` has 80 behind `http`, and
/// `grpc`, which the pod has not.
fn closes(namespace: &str, target: Target) -> Vec<u16> {
    let mut pod = mk_pod("web", "10.0.0.1");
    pod.labels = mk_labels(&[("app", "web"), ("tier", "1")]);
    let mut policies = mk_policies(vec![deny(ObjectName::new(namespace, "p"), target)], vec![]);
    let membership = Membership {
        service: ObjectName::new("default", "web"),
        ports: vec![("grpc".into(), None), ("http".into(), Some(80))],
    };
    policies.memberships.insert(pod.uid.clone(), vec![membership]);
    let mesh = mk_guarded(vec![pod], policies);
    let closed = |port: &u16| decided(&mesh, *port, &plaintext("10.0.0.9")).starts_with("deny_matches");
    [80, 81].into_iter().filter(closed).collect()
}

fn selector(labels: &[(&str, &str)]) -> Target {
    Target::Selector(mk_labels(labels))
}

fn service(name: &str, section: Option<&str>) -> Target {
    Target::Services(vec![ServiceTarget {
        service: name.into(),
        section: section.map(Into::into),
    }])
}

#[test]
fn a_namespaces_policy_holds_for_its_own_pods() {
    assert_eq!(closes("default", Target::All), [80, 81]);
    assert_eq!(closes("other", Target::All), [0; 0]);
}

#[test]
fn the_system_namespaces_policy_holds_for_all_pods() {
    assert_eq!(closes("weft-system", Target::All), [80, 81]);
    assert_eq!(closes("weft-system", selector(&[("app", "web")])), [80, 81]);
    assert_eq!(closes("weft-system", selector(&[("app", "db")])), [0; 0]);
}

#[test]
fn a_selector_wants_all_its_labels() {
    assert_eq!(closes("default", selector(&[("app", "web"), ("tier", "1")])), [80, 81]);
    assert_eq!(closes("default", selector(&[("app", "web"), ("tier", "2")])), [0; 0]);
    assert_eq!(closes("default", selector(&[("absent", "")])), [0; 0]);
    assert_eq!(closes("other", selector(&[("app", "web")])), [0; 0]);
}

#[test]
fn a_service_means_the_pods_behind_it() {
    assert_eq!(closes("default", service("web", None)), [80, 81]);
    assert_eq!(closes("default", service("db", None)), [0; 0]);
    assert_eq!(closes("other", service("web", None)), [0; 0]);
    assert_eq!(closes("weft-system", service("web", None)), [0; 0]);
}

#[test]
fn a_section_means_the_pods_port_behind_it() {
    assert_eq!(closes("default", service("web", Some("http"))), [80]);
    assert_eq!(closes("default", service("web", Some("grpc"))), [0; 0]);
}

#[test]
fn a_section_that_the_service_has_not_means_all_ports() {
    assert_eq!(closes("default", service("web", Some("htpt"))), [80, 81]);
}

#[test]
fn several_targets_add_up() {
    let mut targets = Vec::new();
    for target in [
        service("db", None),
        service("web", Some("http")),
        service("web", Some("grpc")),
    ] {
        if let Target::Services(more) = target {
            targets.extend(more);
        }
    }
    assert_eq!(closes("default", Target::Services(targets)), [80]);
}

#[test]
fn an_allow_policy_for_one_port_leaves_the_others_open() {
    let pod = mk_pod("web", "10.0.0.1");
    let allow = AuthorizationPolicy {
        target: service("web", Some("http")),
        ..mk_authorization("p", Action::Allow, vec![])
    };
    let mut policies = mk_policies(vec![allow], vec![]);
    let membership = Membership {
        service: ObjectName::new("default", "web"),
        ports: vec![("http".into(), Some(80))],
    };
    policies.memberships.insert(pod.uid.clone(), vec![membership]);
    let mesh = mk_guarded(vec![pod], policies);
    assert_eq!(decided(&mesh, 80, &plaintext("10.0.0.9")), UNMATCHED);
    assert_eq!(decided(&mesh, 81, &plaintext("10.0.0.9")), "allowed");
}

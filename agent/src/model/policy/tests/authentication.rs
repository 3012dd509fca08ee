//! Modes of mutual TLS: who may come in plaintext.

use super::*;
use crate::model::{Contents, MeshConfig, MtlsMode::*, OnAgentFailure, sample::mk_pod};

fn mesh(policies: Vec<AuthenticationPolicy>) -> Mesh {
    let mut pod = mk_pod("web", "10.0.0.1");
    pod.labels = mk_labels(&[("app", "web")]);
    let mut policies = mk_policies(vec![], policies);
    let membership = Membership {
        service: ObjectName::new("default", "web"),
        ports: vec![("http".into(), Some(80))],
    };
    policies.memberships.insert(pod.uid.clone(), vec![membership]);
    mk_guarded(vec![pod], policies)
}

/// The ports among 80 and 81 that take plaintext from `from`.
fn open(mesh: &Mesh, from: &str) -> Vec<u16> {
    let pod = web(mesh);
    let open = |port: &u16| mesh.admits_plaintext(&pod, *port, mk_ip(from));
    [80, 81].into_iter().filter(open).collect()
}

/// The ports that are open, and what becomes of the pod's connections while its agent is away.
fn told(policies: Vec<AuthenticationPolicy>) -> (Vec<u16>, OnAgentFailure) {
    let mesh = mesh(policies);
    (open(&mesh, "10.0.0.9"), web(&mesh).on_agent_failure)
}

fn on_port(mode: MtlsMode) -> BTreeMap<u16, PortMtls> {
    let port = PortMtls {
        mode: Some(mode),
        plaintext_from: None,
    };
    BTreeMap::from([(80, port)])
}

fn ranges(ranges: &[&str]) -> Option<Arc<[ipnet::IpNet]>> {
    Some(ranges.iter().map(|range| range.parse().unwrap()).collect())
}

fn service(section: Option<&str>) -> Target {
    Target::Services(vec![ServiceTarget {
        service: "web".into(),
        section: section.map(Into::into),
    }])
}

#[test]
fn without_a_policy_the_meshs_mode_holds() {
    assert_eq!(told(vec![]), (vec![80, 81], OnAgentFailure::Open));
    let strict = Mesh::new(Contents {
        config: MeshConfig {
            mtls: Strict,
            ..MeshConfig::default()
        },
        ..mk_contents(vec![mk_pod("web", "10.0.0.1")], vec![], Policies::default())
    });
    assert_eq!(open(&strict, "10.0.0.9"), [0; 0]);
    assert_eq!(web(&strict).on_agent_failure, OnAgentFailure::Closed);
}

#[test]
fn strict_refuses_plaintext_and_fails_closed_and_permissive_does_neither() {
    assert_eq!(
        told(vec![mk_authentication("p", Strict)]),
        (vec![], OnAgentFailure::Closed)
    );
    assert_eq!(
        told(vec![mk_authentication("p", Permissive)]),
        (vec![80, 81], OnAgentFailure::Open)
    );
    let elsewhere = AuthenticationPolicy {
        name: ObjectName::new("other", "p"),
        ..mk_authentication("p", Strict)
    };
    assert_eq!(told(vec![elsewhere]), (vec![80, 81], OnAgentFailure::Open));
}

#[test]
fn a_port_may_be_otherwise() {
    let mut policy = mk_authentication("p", Strict);
    policy.mtls.ports = on_port(Permissive);
    assert_eq!(told(vec![policy]), (vec![80], OnAgentFailure::Closed));
    let mut policy = mk_authentication("p", Permissive);
    policy.mtls.ports = on_port(Strict);
    assert_eq!(told(vec![policy.clone()]), (vec![81], OnAgentFailure::Closed));
    policy.mtls.mode = None;
    assert_eq!(told(vec![policy]), (vec![81], OnAgentFailure::Closed));
}

#[test]
fn the_more_specific_policy_decides() {
    let least = |mode| AuthenticationPolicy {
        name: ObjectName::new("weft-system", "mesh"),
        ..mk_authentication("p", mode)
    };
    let with = |name, target, mode| AuthenticationPolicy {
        target,
        created: Some(9),
        ..mk_authentication(name, mode)
    };
    let selector = || Target::Selector(mk_labels(&[("app", "web")]));
    let mesh_selector = |mode| AuthenticationPolicy {
        target: selector(),
        ..least(mode)
    };
    assert_eq!(told(vec![least(Strict)]).0, [0; 0]);
    assert_eq!(
        told(vec![least(Strict), with("a", Target::All, Permissive)]).0,
        [80, 81]
    );
    assert_eq!(
        told(vec![mesh_selector(Strict), with("a", Target::All, Permissive)]).0,
        [80, 81]
    );
    assert_eq!(
        told(vec![with("a", Target::All, Strict), with("b", selector(), Permissive)]).0,
        [80, 81]
    );
    assert_eq!(
        told(vec![
            with("a", selector(), Strict),
            with("b", service(Some("http")), Permissive)
        ])
        .0,
        [80]
    );
    assert_eq!(
        told(vec![with("a", selector(), Permissive), with("b", Target::All, Strict)]).0,
        [80, 81]
    );
}

#[test]
fn of_two_for_one_value_the_oldest_wins_then_the_first_by_name() {
    let with = |name, created, mode| AuthenticationPolicy {
        created,
        ..mk_authentication(name, mode)
    };
    assert_eq!(
        told(vec![with("a", Some(2), Strict), with("b", Some(1), Permissive)]).0,
        [80, 81]
    );
    assert_eq!(
        told(vec![with("a", Some(1), Strict), with("b", Some(1), Permissive)]).0,
        [0; 0]
    );
    assert_eq!(
        told(vec![with("a", None, Strict), with("b", Some(9), Permissive)]).0,
        [80, 81]
    );
    assert_eq!(
        told(vec![with("a", None, Strict), with("b", None, Permissive)]).0,
        [0; 0]
    );
}

#[test]
fn what_the_oldest_leaves_out_the_next_one_says() {
    let mut oldest = mk_authentication("a", Strict);
    oldest.mtls.mode = None;
    oldest.mtls.plaintext_from = ranges(&["10.0.0.0/8"]);
    let mesh = mesh(vec![oldest, mk_authentication("b", Strict)]);
    assert_eq!(open(&mesh, "10.0.0.9"), [80, 81]);
    assert_eq!(open(&mesh, "192.0.2.9"), [0; 0]);
}

#[test]
fn ranges_may_come_in_plaintext_though_it_is_strict() {
    let mut policy = mk_authentication("p", Strict);
    policy.mtls.plaintext_from = ranges(&["10.1.0.0/16", "fd00:1::/32"]);
    policy.mtls.ports = BTreeMap::from([(
        81,
        PortMtls {
            mode: None,
            plaintext_from: ranges(&[]),
        },
    )]);
    let mesh = mesh(vec![policy]);
    for inside in ["10.1.2.3", "fd00:1::2", "::ffff:10.1.2.3"] {
        assert_eq!(open(&mesh, inside), [80], "{inside}");
    }
    for outside in ["10.2.2.3", "fd00:2::2"] {
        assert_eq!(open(&mesh, outside), [0; 0], "{outside}");
    }
}

#[test]
fn a_service_means_the_pods_behind_it_and_a_section_their_port() {
    let with = |target| AuthenticationPolicy {
        target,
        ..mk_authentication("p", Strict)
    };
    assert_eq!(told(vec![with(service(None))]).0, [0; 0]);
    assert_eq!(
        told(vec![with(service(Some("http")))]),
        (vec![81], OnAgentFailure::Closed)
    );
}

#[test]
fn what_is_not_understood_takes_no_plaintext_and_fails_closed() {
    let partial = AuthenticationPolicy {
        support: Support::Partial,
        ..mk_authentication("p", Permissive)
    };
    assert_eq!(told(vec![partial.clone()]), (vec![], OnAgentFailure::Closed));
    assert_eq!(
        decided(&mesh(vec![partial]), 80, &plaintext("10.0.0.9")),
        "not_understood by default/p"
    );
}

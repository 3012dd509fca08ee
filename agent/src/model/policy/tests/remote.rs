//! What a client asks of destinations.

use super::*;
use crate::model::{
    Contents, Endpoint, Enrolment, MeshConfig,
    MtlsMode::*,
    NotEnrolled, OnAgentFailure, PodUid, Service, ServicePort,
    sample::{mk_endpoint, mk_pod, mk_port, mk_service},
};

fn services() -> Vec<Service> {
    let named = |name: &str, port: ServicePort| ServicePort {
        name: name.to_owned(),
        ..port
    };
    vec![
        Service {
            ports: vec![
                named(
                    "http",
                    mk_port(80, vec![mk_endpoint("10.0.1.1:8080"), mk_endpoint("[fd00::1]:8080")]),
                ),
                named("grpc", mk_port(81, vec![mk_endpoint("10.0.1.1:8081")])),
            ],
            ..mk_service("web", &["10.96.0.1"])
        },
        Service {
            ports: vec![mk_port(80, vec![mk_endpoint("10.0.1.2:8080")])],
            ..mk_service("db", &["10.96.0.2"])
        },
    ]
}

fn contents(authentication: Vec<AuthenticationPolicy>) -> Contents {
    let policies = Policies {
        enrolled_namespaces: ["default".into()].into(),
        ..mk_policies(vec![], authentication)
    };
    mk_contents(vec![], services(), policies)
}

fn required(policies: Vec<AuthenticationPolicy>, address: &str) -> bool {
    let endpoint = mk_endpoint(address);
    Mesh::new(contents(policies)).requires_mtls(&endpoint, endpoint.address.port())
}

fn strict(target: Target) -> AuthenticationPolicy {
    AuthenticationPolicy {
        target,
        ..mk_authentication("p", Strict)
    }
}

fn service(name: &str, section: Option<&str>) -> Target {
    Target::Services(vec![ServiceTarget {
        service: name.into(),
        section: section.map(Into::into),
    }])
}

/// The endpoint, of another namespace.
fn elsewhere(address: &str) -> Endpoint {
    Endpoint {
        pod: Some((PodUid::new("uid"), ObjectName::new("other", "pod"))),
        ..mk_endpoint(address)
    }
}

#[test]
fn a_namespace_that_is_strict_requires_it_of_all_its_pods() {
    assert!(!required(vec![], "10.0.1.1:8080"));
    assert!(required(vec![strict(Target::All)], "10.0.1.1:8080"));
    assert!(!required(vec![mk_authentication("p", Permissive)], "10.0.1.1:8080"));
    let mesh = Mesh::new(contents(vec![strict(Target::All)]));
    assert!(!mesh.requires_mtls(&elsewhere("10.0.1.9:80"), 80));
}

#[test]
fn a_port_may_be_otherwise() {
    let mut policy = strict(Target::All);
    let permissive = PortMtls {
        mode: Some(Permissive),
        plaintext_from: None,
    };
    policy.mtls.ports.insert(8080, permissive);
    assert!(!required(vec![policy.clone()], "10.0.1.1:8080"));
    assert!(required(vec![policy], "10.0.1.1:8081"));
}

#[test]
fn one_strict_policy_with_a_selector_means_the_whole_namespace() {
    let selector = || Target::Selector(mk_labels(&[("app", "whoever")]));
    assert!(required(vec![strict(selector())], "10.0.1.1:8080"));
    let permissive = AuthenticationPolicy {
        target: selector(),
        ..mk_authentication("p", Permissive)
    };
    assert!(!required(vec![permissive], "10.0.1.1:8080"));
    let mut one_port = strict(selector());
    one_port.mtls.mode = None;
    let port = PortMtls {
        mode: Some(Strict),
        plaintext_from: None,
    };
    one_port.mtls.ports.insert(8080, port);
    assert!(required(vec![one_port.clone()], "10.0.1.1:8080"));
    assert!(!required(vec![one_port], "10.0.1.1:8081"));
}

#[test]
fn a_service_means_the_endpoints_behind_it() {
    assert!(required(vec![strict(service("web", None))], "10.0.1.1:8080"));
    assert!(required(vec![strict(service("web", None))], "[fd00::1]:8080"));
    assert!(required(vec![strict(service("web", None))], "10.0.1.1:9999"));
    assert!(!required(vec![strict(service("web", None))], "10.0.1.2:8080"));
}

#[test]
fn a_section_means_the_port_behind_it() {
    assert!(required(vec![strict(service("web", Some("http")))], "10.0.1.1:8080"));
    assert!(!required(vec![strict(service("web", Some("http")))], "10.0.1.1:8081"));
    assert!(required(vec![strict(service("web", Some("htpt")))], "10.0.1.1:8081"));
}

#[test]
fn a_service_goes_before_its_namespace() {
    let permissive = AuthenticationPolicy {
        target: service("web", None),
        ..mk_authentication("q", Permissive)
    };
    let policies = vec![strict(Target::All), permissive];
    assert!(!required(policies.clone(), "10.0.1.1:8080"));
    assert!(required(policies, "10.0.1.2:8080"));
}

#[test]
fn what_is_said_of_the_whole_mesh_holds_for_enrolled_namespaces() {
    let mesh_wide = AuthenticationPolicy {
        name: ObjectName::new("weft-system", "mesh"),
        ..strict(Target::All)
    };
    let default = Contents {
        config: MeshConfig {
            mtls: Strict,
            ..MeshConfig::default()
        },
        ..contents(vec![])
    };
    for contents in [contents(vec![mesh_wide]), default] {
        let mesh = Mesh::new(contents);
        assert!(mesh.requires_mtls(&mk_endpoint("10.0.1.1:8080"), 8080));
        assert!(!mesh.requires_mtls(&elsewhere("10.0.1.9:80"), 80));
    }
}

#[test]
fn an_address_without_a_pod_is_strict_only_where_its_service_is() {
    let outside = Endpoint {
        pod: None,
        ..mk_endpoint("10.0.1.2:8080")
    };
    assert!(!Mesh::new(contents(vec![strict(Target::All)])).requires_mtls(&outside, 8080));
    assert!(Mesh::new(contents(vec![strict(service("db", None))])).requires_mtls(&outside, 8080));
}

#[test]
fn of_a_local_pod_the_labels_are_known() {
    let mut pod = mk_pod("web", "10.0.0.1");
    pod.labels = mk_labels(&[("app", "web")]);
    let endpoint = Endpoint {
        pod: Some((pod.uid.clone(), pod.name.clone())),
        ..mk_endpoint("10.0.0.1:80")
    };
    let required = |pod: &Pod, label: &str| {
        let policy = strict(Target::Selector(mk_labels(&[("app", label)])));
        mk_guarded(vec![pod.clone()], mk_policies(vec![], vec![policy])).requires_mtls(&endpoint, 80)
    };
    assert!(required(&pod, "web"));
    assert!(!required(&pod, "db"));
    pod.enrolment = Enrolment::Out(NotEnrolled::OptedOut);
    assert!(!required(&pod, "web"));
}

#[test]
fn what_is_not_understood_is_strict() {
    let partial = AuthenticationPolicy {
        support: Support::Partial,
        ..mk_authentication("p", Permissive)
    };
    assert!(required(vec![partial], "10.0.1.1:8080"));
    let mut undecodable = contents(vec![]);
    undecodable.policies.undecodable = vec![PolicyId {
        kind: PolicyKind::AuthenticationPolicy,
        name: ObjectName::new("default", "p"),
    }];
    assert!(Mesh::new(undecodable).requires_mtls(&mk_endpoint("10.0.1.1:8080"), 8080));
}

#[test]
fn a_namespace_one_of_whose_pods_may_be_strict_fails_closed_while_nothing_is_known_of_a_pod() {
    let failure = |contents: Contents| Mesh::new(contents).enrolled_namespaces()["default"];
    assert_eq!(failure(contents(vec![])), OnAgentFailure::Open);
    assert_eq!(
        failure(contents(vec![mk_authentication("p", Permissive)])),
        OnAgentFailure::Open
    );
    let selector = Target::Selector([("app".to_owned(), "web".to_owned())].into());
    for target in [Target::All, selector, service("web", Some("http"))] {
        assert_eq!(failure(contents(vec![strict(target)])), OnAgentFailure::Closed);
    }
    let closed = Contents {
        failing_closed: ["default".into()].into(),
        ..contents(vec![])
    };
    assert_eq!(failure(closed), OnAgentFailure::Closed);
    let mesh_wide = Contents {
        config: MeshConfig {
            mtls: Strict,
            ..MeshConfig::default()
        },
        ..contents(vec![])
    };
    assert_eq!(failure(mesh_wide), OnAgentFailure::Closed);
}

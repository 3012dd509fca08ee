//! What the model is told of policies.

use super::*;
use crate::{
    cluster::objects::{PortReference, Slice, SliceEndpoint, SlicePort},
    model::{
        ContainerPort, EndpointHints, Membership, MtlsMode, PodUid, PolicyId, PolicyKind, ServiceTarget, Target,
        Transport,
        policy::sample::{mk_authentication, mk_authorization},
        sample::mk_ip,
    },
};

/// The pod `web` with a Service of that name, and a policy for the Service.
fn mk_targeted() -> Objects {
    let mut objects = mk_objects();
    let mut service = mk_service("web", &["10.96.0.1"]);
    service.service.ports[0].name = "http".into();
    objects
        .services
        .insert(ObjectName::new("default", "web"), Arc::new(service));
    let policy = model::AuthorizationPolicy {
        target: Target::Services(vec![ServiceTarget {
            service: "web".into(),
            section: None,
        }]),
        ..mk_authorization("p", model::Action::Allow, vec![])
    };
    objects.authorization.insert(policy.name.clone(), Arc::new(policy));
    objects
}

fn memberships(objects: &Objects) -> Vec<(PodUid, Vec<Membership>)> {
    assembled(objects).policies.memberships.into_iter().collect()
}

fn behind_web(ports: Vec<(Arc<str>, Option<u16>)>) -> Vec<(PodUid, Vec<Membership>)> {
    let membership = Membership {
        service: ObjectName::new("default", "web"),
        ports,
    };
    vec![(PodUid::derived(&ObjectName::new("default", "web")), vec![membership])]
}

#[test]
fn a_pod_is_behind_a_targeted_service_that_selects_it() {
    let mut objects = mk_targeted();
    assert_eq!(memberships(&objects), behind_web(vec![("http".into(), Some(80))]));
    objects.authorization.clear();
    assert_eq!(memberships(&objects), [], "nobody asks");
}

#[test]
fn a_named_target_port_is_that_of_the_pod() {
    let mut objects = mk_targeted();
    let name = ObjectName::new("default", "web");
    let mut service = objects.services[&name].as_ref().clone();
    service.targets = vec![PortReference::Name("main".into())];
    objects.services.insert(name.clone(), Arc::new(service));
    assert_eq!(memberships(&objects), behind_web(vec![("http".into(), None)]));
    let mut pod = objects.pods[&name].as_ref().clone();
    pod.ports = vec![ContainerPort {
        name: Some("main".into()),
        port: 8080,
        transport: Transport::Tcp,
    }];
    objects.pods.insert(name, Arc::new(pod));
    assert_eq!(memberships(&objects), behind_web(vec![("http".into(), Some(8080))]));
}

#[test]
fn a_slice_that_names_a_pod_and_the_selector_both_count() {
    let mut objects = mk_targeted();
    let name = ObjectName::new("default", "web");
    let slice = Slice {
        service: Some(name.clone()),
        ports: vec![SlicePort {
            name: "http".into(),
            transport: Transport::Tcp,
            port: 9090,
        }],
        endpoints: vec![SliceEndpoint {
            ip: mk_ip("10.0.0.1"),
            ready: true,
            serving: true,
            terminating: false,
            node: None,
            zone: None,
            hints: EndpointHints::default(),
            hostname: None,
            pod: Some((PodUid::derived(&name), name.clone())),
        }],
    };
    objects
        .slices
        .insert(ObjectName::new("default", "web-1"), Arc::new(slice));
    let both = vec![("http".into(), Some(80)), ("http".into(), Some(9090))];
    assert_eq!(memberships(&objects), behind_web(both));
    let mut service = objects.services[&name].as_ref().clone();
    service.selector.clear();
    objects.services.insert(name, Arc::new(service));
    assert_eq!(memberships(&objects), behind_web(vec![("http".into(), Some(9090))]));
}

#[test]
fn a_strict_policy_makes_the_pod_fail_closed() {
    let mut objects = mk_objects();
    assert_eq!(only_pod(&objects).on_agent_failure, OnAgentFailure::Open);
    let policy = mk_authentication("p", MtlsMode::Strict);
    objects.authentication.insert(policy.name.clone(), Arc::new(policy));
    assert_eq!(only_pod(&objects).on_agent_failure, OnAgentFailure::Closed);
}

#[test]
fn settings_that_were_never_understood_are_strict() {
    let mut objects = mk_objects();
    objects.mesh_config = MeshSettings::Undecodable;
    assert_eq!(assembled(&objects).config.mtls, MtlsMode::Strict);
}

#[test]
fn enrolled_namespaces_and_policies_that_were_never_understood_are_told() {
    let mut objects = mk_objects();
    let undecodable = PolicyId {
        kind: PolicyKind::AuthorizationPolicy,
        name: ObjectName::new("default", "p"),
    };
    objects.undecodable.insert(undecodable.clone());
    for (name, enrols) in [
        ("in", Some(MeshLabel::Enabled)),
        ("out", Some(MeshLabel::Disabled)),
        ("none", None),
    ] {
        let namespace = Namespace {
            enrols,
            ..Namespace::default()
        };
        objects.namespaces.insert(name.into(), Arc::new(namespace));
    }
    let policies = assembled(&objects).policies;
    assert_eq!(policies.undecodable, [undecodable]);
    assert_eq!(policies.enrolled_namespaces, ["in".into()].into());
}

#[test]
fn a_namespaces_network_policies_have_one_fingerprint() {
    let mut objects = mk_objects();
    let version = |objects: &Objects| assembled(objects).network_policy_version("default");
    let none = version(&objects);
    objects.network_policies.insert(ObjectName::new("default", "a"), 1);
    let one = version(&objects);
    objects.network_policies.insert(ObjectName::new("default", "a"), 2);
    let changed = version(&objects);
    objects.network_policies.insert(ObjectName::new("other", "a"), 3);
    assert_eq!(version(&objects), changed);
    objects.network_policies.remove(&ObjectName::new("default", "a"));
    assert_eq!(version(&objects), none);
    assert!(none != one && one != changed);
}

//! Tests of `super`.

use super::*;
use crate::model::{Contents, Enrolment, Exemption, NotEnrolled, ObjectName, Service, TrafficPolicy};

#[test]
fn an_enrolled_pod_is_captured() {
    let mesh = mesh([
        pod("a", Enrolment::Enrolled),
        pod("b", Enrolment::Out(NotEnrolled::NoLabel)),
    ]);
    let plan = Desired::of(&mesh).diff(&Current::default());
    assert_eq!(
        plan,
        Plan {
            capture: vec![Arc::clone(&mesh.pods[&uid("a")])],
            ..Plan::default()
        }
    );
}

#[test]
fn a_pod_whose_pins_were_found_is_captured_with_them() {
    let mesh = mesh([pod("a", Enrolment::Enrolled)]);
    let plan = Desired::of(&mesh).diff(&current([("a", Known::Pinned)]));
    assert_eq!(plan.capture, [Arc::clone(&mesh.pods[&uid("a")])]);
    assert_eq!(plan.release, []);
}

#[test]
fn nothing_is_done_about_a_pod_that_is_as_wanted() {
    let pod = pod("a", Enrolment::Enrolled);
    let current = current([("a", Known::Captured(Terms::of(&pod, UdpEgress::Allow)))]);
    assert_eq!(Desired::of(&mesh([pod])).diff(&current), Plan::default());
}

#[test]
fn a_pod_whose_terms_change_is_adjusted_where_it_is() {
    let mut pod = pod("a", Enrolment::Enrolled);
    let current = current([("a", Known::Captured(Terms::of(&pod, UdpEgress::Allow)))]);
    pod.on_agent_failure = OnAgentFailure::Closed;
    pod.probe_ports = vec![8080];
    let terms = Terms {
        flags: PodFlags::FAIL_CLOSED,
        probe_ports: vec![8080],
    };
    assert_eq!(
        Desired::of(&mesh([pod])).diff(&current),
        Plan {
            adjust: vec![(uid("a"), terms)],
            ..Plan::default()
        }
    );
}

#[test]
fn a_pod_that_leaves_is_told_from_one_that_is_gone() {
    let mesh = mesh([pod("left", Enrolment::Out(NotEnrolled::OptedOut))]);
    let captured = || Known::Captured(Terms::default());
    let plan = Desired::of(&mesh).diff(&current([
        ("left", captured()),
        ("gone", captured()),
        ("old", Known::Pinned),
    ]));
    assert_eq!(
        plan.release,
        [
            (uid("gone"), Departure::Gone),
            (uid("left"), Departure::Left),
            (uid("old"), Departure::Gone),
        ]
    );
}

#[test]
fn exemptions_follow_the_mesh() {
    let [old, kept, new]: [std::net::SocketAddr; 3] =
        ["10.0.0.1:443", "10.0.0.2:443", "[2001:db8::1]:6443"].map(|address| address.parse().unwrap());
    let mesh = Mesh::new(Contents {
        exemptions: vec![Exemption(kept), Exemption(new)],
        ..Contents::default()
    });
    let current = Current {
        exempt: [old.into(), kept.into()].into(),
        ..Current::default()
    };
    let plan = Desired::of(&mesh).diff(&current);
    assert_eq!((plan.exempt, plan.unexempt), (vec![new.into()], vec![old.into()]));
}

#[test]
fn what_is_inside_the_cluster_is_known_before_pods_are_refused_the_outside() {
    let mesh = Mesh::new(Contents {
        config: MeshConfig {
            deny_udp_egress: true,
            pod_cidrs: prefixes(["10.244.0.0/16"]).collect(),
            ..MeshConfig::default()
        },
        pods: ["10.244.0.7", "fd00:244::7"]
            .map(|ip| Pod {
                ips: vec![ip.parse().unwrap()],
                ..pod(ip, Enrolment::Enrolled)
            })
            .map(Arc::new)
            .into(),
        services: vec![Arc::new(service(["10.96.0.1", "fd00:96::1"]))],
        ..Contents::default()
    });
    let desired = Desired::of(&mesh);
    let current = Current {
        inside: prefixes(["10.96.0.1/32", "10.96.0.2/32"]).collect(),
        ..current([("10.244.0.7", Known::Captured(Terms::default()))])
    };
    let plan = desired.diff(&current);
    let denied = Terms {
        flags: PodFlags::FAIL_OPEN.with_udp_egress_denied(),
        ..Terms::default()
    };
    let included = prefixes(["10.244.0.0/16", "fd00:96::1/128", "fd00:244::7/128"]);
    assert_eq!(plan.include, included.collect::<Vec<_>>(), "none twice");
    assert_eq!(plan.adjust, [(uid("10.244.0.7"), denied)]);
    assert_eq!(plan.exclude, prefixes(["10.96.0.2/32"]).collect::<Vec<_>>());
}

#[test]
fn nothing_is_inside_while_datagrams_may_leave() {
    let mesh = Mesh::new(Contents {
        services: vec![Arc::new(service(["10.96.0.1"]))],
        ..Contents::default()
    });
    assert_eq!(Desired::of(&mesh).inside, BTreeSet::new());
}

fn prefixes<const N: usize>(texts: [&str; N]) -> impl Iterator<Item = IpNet> {
    texts.map(|text| text.parse().unwrap()).into_iter()
}

fn service<const N: usize>(ips: [&str; N]) -> Service {
    Service {
        name: ObjectName::new("default", "web"),
        cluster_ips: ips.map(|ip| ip.parse().unwrap()).into(),
        external_ips: Vec::new(),
        headless: false,
        external_name: None,
        publish_not_ready: false,
        ports: Vec::new(),
        internal_traffic_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        affinity: None,
    }
}

fn mesh<const N: usize>(pods: [Pod; N]) -> Mesh {
    Mesh::new(Contents {
        pods: pods.into_iter().map(Arc::new).collect(),
        ..Contents::default()
    })
}

fn current<const N: usize>(pods: [(&str, Known); N]) -> Current {
    Current {
        pods: pods.into_iter().map(|(name, known)| (uid(name), known)).collect(),
        ..Current::default()
    }
}

fn uid(name: &str) -> PodUid {
    PodUid::new(name)
}

fn pod(name: &str, enrolment: Enrolment) -> Pod {
    Pod {
        uid: uid(name),
        name: ObjectName::new("default", name),
        service_account: "default".into(),
        labels: BTreeMap::new(),
        ips: Vec::new(),
        ports: Vec::new(),
        probe_ports: Vec::new(),
        netns: None,
        enrolment,
        on_agent_failure: OnAgentFailure::Open,
        terminating: false,
    }
}

//! Tests of `super`.

use super::*;
use crate::model::{Contents, Enrolment, Exemption, NotEnrolled, ObjectName};

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
    let current = current([("a", Known::Captured(Terms::of(&pod)))]);
    assert_eq!(Desired::of(&mesh([pod])).diff(&current), Plan::default());
}

#[test]
fn a_pod_whose_terms_change_is_adjusted_where_it_is() {
    let mut pod = pod("a", Enrolment::Enrolled);
    let current = current([("a", Known::Captured(Terms::of(&pod)))]);
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

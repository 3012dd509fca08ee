//! What is judged how.

use super::*;
use crate::cluster::survey::{LeaseFact, PolicyFact, Unprotected, Why};

fn mk_replica(ready: bool, version: &str) -> ReplicaFact {
    ReplicaFact {
        pod: "pod".into(),
        ready,
        version: version.into(),
    }
}

fn mk_node(name: &str, agent: Option<ReplicaFact>) -> NodeFact {
    NodeFact {
        name: name.into(),
        kernel: "6.12.0".into(),
        operating_system: "linux".into(),
        runtime: "containerd://2.1.0".into(),
        waits: false,
        agent,
        enrolled: 0,
    }
}

/// One in which all is well, but for its roots.
fn mk_survey() -> Survey {
    Survey {
        server: "v1.36.3".into(),
        nodes: vec![mk_node("node-1", Some(mk_replica(true, "0.1.0")))],
        ca: vec![mk_replica(true, "0.1.0")],
        controller: vec![mk_replica(true, "0.1.0")],
        lease: Some(LeaseFact {
            holder: "controller".into(),
            age_seconds: 1,
            duration_seconds: 15,
        }),
        bundle: Some(String::new()),
        ..Survey::default()
    }
}

/// What is not good.
fn found(survey: &Survey) -> Vec<(&'static str, Found)> {
    let checked = installed(survey, SystemTime::UNIX_EPOCH).into_iter();
    checked
        .filter(|row| row.outcome != Found::Good)
        .map(|row| (row.check, row.outcome))
        .collect()
}

#[test]
fn a_mesh_in_which_all_is_well_is_good() {
    assert_eq!(found(&mk_survey()), []);
}

#[test]
fn what_a_mesh_lacks_is_bad_or_worth_a_word() {
    let survey = Survey {
        nodes: vec![
            mk_node("bare", None),
            mk_node("starting", Some(mk_replica(false, "0.1.0"))),
            NodeFact {
                waits: true,
                ..mk_node("waiting", Some(mk_replica(true, "0.2.0")))
            },
        ],
        ca: Vec::new(),
        controller: vec![mk_replica(true, "0.1.0"), mk_replica(false, "0.1.0")],
        lease: None,
        bundle: None,
        missing_kinds: vec!["MeshConfig".into()],
        ..mk_survey()
    };
    assert_eq!(
        found(&survey),
        [
            ("kinds", Found::Bad),
            ("agent", Found::Bad),
            ("agent", Found::Bad),
            ("agent", Found::Warning),
            ("ca", Found::Bad),
            ("controller", Found::Warning),
            ("lease", Found::Warning),
            ("versions", Found::Warning),
            ("root", Found::Bad),
        ]
    );
}

#[test]
fn policies_and_pods_are_judged_by_what_is_said_of_them() {
    let policy = |accepted| PolicyFact {
        kind: "AuthorizationPolicy".into(),
        name: "shop/cart".into(),
        accepted,
        message: None,
    };
    let pod = |reason| Unprotected {
        pod: "shop/cart-0".into(),
        node: "node-1".into(),
        reason,
    };
    let survey = Survey {
        policies: vec![policy(Some(true)), policy(Some(false)), policy(None)],
        unprotected: vec![pod(Why::OptedOut), pod(Why::AgentNotReady)],
        ..mk_survey()
    };
    assert_eq!(
        found(&survey),
        [
            ("policy", Found::Bad),
            ("policy", Found::Warning),
            ("pod", Found::Warning),
            ("pod", Found::Bad),
        ]
    );
}

#[test]
fn servers_older_than_the_functions_of_the_kinds_are_refused() {
    assert_eq!(server("v1.36.3").outcome, Found::Good);
    assert_eq!(server("v1.31.0-eks-1").outcome, Found::Good);
    assert_eq!(server("v1.30.9").outcome, Found::Bad);
    assert_eq!(server("none").outcome, Found::Bad);
}

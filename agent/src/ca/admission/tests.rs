//! Whose agent may attend, by what the API server says of its token and the roster of its pod.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{ca::state::State, model::RosterPod, tls::Denial};

fn mk_agent() -> ObjectName {
    ObjectName::new("weft-system", "weft-agent")
}

fn mk_reviewed() -> ReviewedToken {
    ReviewedToken {
        service_account: mk_agent(),
        pod: Some(PodUid::new("uid-agent")),
        node: Some("node-1".into()),
        expires: SystemTime::now() + Duration::from_secs(3600),
    }
}

fn mk_known() -> Known {
    let pod = AgentPod::new(mk_reviewed(), "node-1".into(), &mk_agent());
    Known::Pod(pod.expect("an agent's"))
}

fn mk_roster() -> Roster {
    let agent = RosterPod {
        name: ObjectName::new("weft-system", "weft-agent-x7k2p"),
        service_account: "weft-agent".into(),
        node: Some("node-1".into()),
        ips: Vec::new(),
        enrolment: Enrolment::Out(NotEnrolled::HostNetwork),
    };
    Roster {
        pods: BTreeMap::from([(PodUid::new("uid-agent"), agent)]),
        pod_cidrs: BTreeMap::new(),
    }
}

fn mk_live(denied: Option<&str>) -> Live {
    let mut state = State::for_cluster("cluster.local", None).expect("a state");
    state.denied.extend(denied.map(str::to_owned));
    Live::replica(&state, &[], None).expect("live")
}

fn changed(change: impl FnOnce(&mut RosterPod)) -> Roster {
    let mut roster = mk_roster();
    change(roster.pods.get_mut(&PodUid::new("uid-agent")).expect("the agent"));
    roster
}

#[test]
fn a_token_of_an_agents_pod_is_that_of_the_agent_of_its_node() {
    assert_eq!(mk_known().standing(&mk_live(None), &mk_roster()), Ok(()));
    // An API server that does not tell nodes leaves that to the roster.
    let untold = ReviewedToken {
        node: None,
        ..mk_reviewed()
    };
    let pod = AgentPod::new(untold.clone(), "node-1".into(), &mk_agent()).expect("an agent's");
    assert_eq!(Known::Pod(pod).standing(&mk_live(None), &mk_roster()), Ok(()));
    let elsewhere = AgentPod::new(untold, "node-2".into(), &mk_agent()).expect("an agent's");
    let stranger = Known::Pod(elsewhere).standing(&mk_live(None), &mk_roster());
    assert_eq!(stranger, Err(Stranger::OtherNode("node-2".into())));
}

#[test]
fn tokens_of_others_of_other_nodes_and_of_no_pod_are_refused() {
    let judged = |reviewed, node: &str| AgentPod::new(reviewed, node.into(), &mk_agent());
    assert_eq!(
        judged(mk_reviewed(), "node-2"),
        Err(Stranger::OtherNode("node-2".into()))
    );
    let unbound = ReviewedToken {
        pod: None,
        ..mk_reviewed()
    };
    assert_eq!(judged(unbound, "node-1"), Err(Stranger::Unbound));
    let controller = ObjectName::new("weft-system", "weft-controller");
    let other = ReviewedToken {
        service_account: controller.clone(),
        ..mk_reviewed()
    };
    assert_eq!(judged(other, "node-1"), Err(Stranger::NoAgent(controller)));
}

#[test]
fn an_agent_whose_pod_has_ended_or_is_another_one_is_sent_away() {
    let standing = |roster: &Roster| mk_known().standing(&mk_live(None), roster);
    assert_eq!(standing(&Roster::default()), Err(Stranger::Gone));
    let ended = changed(|pod| pod.enrolment = Enrolment::Out(NotEnrolled::Ended));
    assert_eq!(standing(&ended), Err(Stranger::Gone));
    let moved = changed(|pod| pod.node = Some("node-2".into()));
    assert_eq!(standing(&moved), Err(Stranger::OtherNode("node-1".into())));
    let renamed = changed(|pod| pod.service_account = "default".into());
    assert_eq!(standing(&renamed), Err(Stranger::NoAgent(mk_agent())));
    let foreign = changed(|pod| pod.name = ObjectName::new("shop", "weft-agent-x7k2p"));
    assert_eq!(standing(&foreign), Err(Stranger::NoAgent(mk_agent())));
}

#[test]
fn an_agent_on_a_denied_node_is_sent_away() {
    let denied = Denial::Node("node-1".into()).to_string();
    assert_eq!(
        mk_known().standing(&mk_live(Some(&denied)), &mk_roster()),
        Err(Stranger::Denied)
    );
    let other = Denial::Node("node-2".into()).to_string();
    assert_eq!(mk_known().standing(&mk_live(Some(&other)), &mk_roster()), Ok(()));
}

//! What an agent gets, and what it does not.

use std::collections::BTreeMap;

use super::*;
use crate::model::{PodUid, sample::mk_ip};

fn mk_pod(name: &str, ip: &str) -> RosterPod {
    RosterPod {
        name: ObjectName::new("shop", name),
        service_account: "default".into(),
        node: Some("node-1".into()),
        ips: vec![mk_ip(ip)],
        enrolment: Enrolment::Enrolled,
    }
}

fn mk_ask(name: &str, ip: &str) -> Ask {
    Ask {
        uid: PodUid::new(format!("uid-{name}")),
        pod: ObjectName::new("shop", name),
        service_account: "default".into(),
        ips: vec![mk_ip(ip)],
        request: Vec::new(),
    }
}

fn mk_roster(pods: Vec<RosterPod>) -> Roster {
    let pods = pods.into_iter();
    Roster {
        pods: pods
            .map(|pod| (PodUid::new(format!("uid-{}", pod.name.name)), pod))
            .collect(),
        pod_cidrs: BTreeMap::new(),
    }
}

#[test]
fn a_pod_of_the_node_gets_its_certificate_with_its_addresses() {
    for ip in ["10.0.0.1", "fd00::1"] {
        let roster = mk_roster(vec![mk_pod("cart", ip)]);
        assert_eq!(admit(&roster, "node-1", &mk_ask("cart", ip)), Ok(vec![mk_ip(ip)]));
    }
}

#[test]
fn what_is_asked_must_be_what_the_roster_says() {
    let roster = mk_roster(vec![mk_pod("cart", "10.0.0.1")]);
    let ask = mk_ask("cart", "10.0.0.1");
    assert_eq!(admit(&roster, "node-2", &ask), Err(Refusal::OtherNode));
    let unknown = mk_ask("ghost", "10.0.0.1");
    assert_eq!(admit(&roster, "node-1", &unknown), Err(Refusal::NoSuchPod));
    let renamed = Ask {
        pod: ObjectName::new("admin", "cart"),
        ..ask.clone()
    };
    let real = ObjectName::new("shop", "cart");
    assert_eq!(admit(&roster, "node-1", &renamed), Err(Refusal::OtherName(real)));
    let promoted = Ask {
        service_account: "admin".into(),
        ..ask
    };
    let real = Refusal::OtherServiceAccount("default".into());
    assert_eq!(admit(&roster, "node-1", &promoted), Err(real));
}

#[test]
fn pods_that_are_not_in_the_mesh_get_none() {
    for reason in [NotEnrolled::HostNetwork, NotEnrolled::NoLabel, NotEnrolled::Ended] {
        let out = RosterPod {
            enrolment: Enrolment::Out(reason),
            ..mk_pod("cart", "10.0.0.1")
        };
        let admitted = admit(&mk_roster(vec![out]), "node-1", &mk_ask("cart", "10.0.0.1"));
        assert_eq!(admitted, Err(Refusal::NotEnrolled(reason)));
    }
}

#[test]
fn an_address_that_another_live_pod_has_is_not_named() {
    let mut roster = mk_roster(vec![mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.1")]);
    let ask = mk_ask("cart", "10.0.0.1");
    assert_eq!(admit(&roster, "node-1", &ask), Ok(vec![]));
    let web = roster.pods.get_mut(&PodUid::new("uid-web")).expect("a pod");
    web.enrolment = Enrolment::Out(NotEnrolled::NoLabel);
    assert_eq!(admit(&roster, "node-1", &ask), Ok(vec![]), "enrolled or not");
    let web = roster.pods.get_mut(&PodUid::new("uid-web")).expect("a pod");
    web.enrolment = Enrolment::Out(NotEnrolled::Ended);
    assert_eq!(admit(&roster, "node-1", &ask), Ok(vec![mk_ip("10.0.0.1")]));
}

#[test]
fn addresses_that_are_not_the_pods_or_not_of_the_nodes_range_are_not_named() {
    let mut roster = mk_roster(vec![mk_pod("cart", "10.0.0.1")]);
    assert_eq!(admit(&roster, "node-1", &mk_ask("cart", "10.0.0.2")), Ok(vec![]));
    let ask = mk_ask("cart", "10.0.0.1");
    let range = |range: &str| BTreeMap::from([("node-1".into(), vec![range.parse().expect("a range")])]);
    roster.pod_cidrs = range("10.1.0.0/16");
    assert_eq!(admit(&roster, "node-1", &ask), Ok(vec![]));
    roster.pod_cidrs = range("10.0.0.0/16");
    assert_eq!(admit(&roster, "node-1", &ask), Ok(vec![mk_ip("10.0.0.1")]));
}

#[test]
fn the_roster_may_be_behind_where_news_would_change_what_is_issued() {
    let roster = |change: fn(&mut RosterPod)| {
        let mut cart = mk_pod("cart", "10.0.0.1");
        change(&mut cart);
        mk_roster(vec![cart])
    };
    let ask = mk_ask("cart", "10.0.0.1");
    let behind = |roster: &Roster| may_be_behind(roster, "node-1", &ask);
    assert!(!behind(&roster(|_cart| {})), "it says all that is asked");
    assert!(behind(&Roster::default()));
    assert!(behind(&roster(|cart| cart.ips.clear())));
    assert!(behind(&roster(|cart| cart.node = None)));
    assert!(behind(&roster(|cart| {
        cart.enrolment = Enrolment::Out(NotEnrolled::NoLabel);
    })));
    assert!(!behind(&roster(|cart| cart.node = Some("node-2".into()))));
    assert!(!behind(&roster(|cart| cart.service_account = "admin".into())));
    assert!(!behind(&roster(|cart| {
        cart.enrolment = Enrolment::Out(NotEnrolled::HostNetwork);
    })));
    // Whoever had the address before may be gone already.
    assert!(behind(&mk_roster(vec![
        mk_pod("cart", "10.0.0.1"),
        mk_pod("web", "10.0.0.1")
    ])));
    let mut out_of_range = roster(|cart| cart.ips.clear());
    let range = "10.1.0.0/16".parse().expect("a range");
    out_of_range.pod_cidrs = BTreeMap::from([("node-1".into(), vec![range])]);
    assert!(!behind(&out_of_range), "that address is never named");
}

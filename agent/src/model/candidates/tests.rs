//! Both sides of each of kube-proxy's rules.

use std::net::SocketAddr;

use super::{
    super::{
        EndpointHints,
        sample::{NODE, ZONE, mk_address, mk_endpoint, mk_port},
    },
    *,
};

fn candidates(endpoints: Vec<Endpoint>, policy: TrafficPolicy) -> Vec<String> {
    candidates_of(endpoints, policy, Family::V4, Some(ZONE))
}

fn candidates_of(endpoints: Vec<Endpoint>, policy: TrafficPolicy, family: Family, zone: Option<&str>) -> Vec<String> {
    let port = mk_port(80, endpoints);
    let place = Place { node: NODE, zone };
    Candidates::new(&port, policy, family, place)
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

fn hints(zones: &[&str], nodes: &[&str]) -> EndpointHints {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    EndpointHints {
        zones: names(zones),
        nodes: names(nodes),
    }
}

fn ready(address: &str) -> Endpoint {
    mk_endpoint(address)
}

fn not_ready(address: &str) -> Endpoint {
    Endpoint {
        ready: false,
        serving: false,
        ..mk_endpoint(address)
    }
}

fn draining(address: &str) -> Endpoint {
    Endpoint {
        ready: false,
        terminating: true,
        ..mk_endpoint(address)
    }
}

fn here(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        node: Some(NODE.into()),
        ..endpoint
    }
}

fn hinted(address: &str, zones: &[&str], nodes: &[&str]) -> Endpoint {
    Endpoint {
        hints: hints(zones, nodes),
        ..mk_endpoint(address)
    }
}

#[test]
fn ready_endpoints_are_offered_and_others_are_not() {
    let endpoints = vec![ready("10.0.0.2:80"), not_ready("10.0.0.1:80"), draining("10.0.0.3:80")];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.2:80"]);
}

#[test]
fn draining_endpoints_are_offered_when_none_is_ready() {
    let ended = Endpoint {
        serving: false,
        ..draining("10.0.0.3:80")
    };
    let endpoints = vec![not_ready("10.0.0.1:80"), draining("10.0.0.2:80"), ended];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.2:80"]);
}

#[test]
fn endpoints_that_serve_without_being_ready_or_draining_are_not_offered() {
    let endpoints = vec![Endpoint {
        serving: true,
        ..not_ready("10.0.0.1:80")
    }];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), [""; 0]);
}

#[test]
fn a_client_gets_endpoints_of_the_family_it_dialled_only() {
    let both = || vec![ready("10.0.0.1:80"), ready("[fd00::1]:80")];
    assert_eq!(
        candidates_of(both(), TrafficPolicy::Cluster, Family::V4, None),
        ["10.0.0.1:80"]
    );
    assert_eq!(
        candidates_of(both(), TrafficPolicy::Cluster, Family::V6, None),
        ["[fd00::1]:80"]
    );
    assert_eq!(
        candidates_of(vec![ready("10.0.0.1:80")], TrafficPolicy::Cluster, Family::V6, None),
        [""; 0]
    );
}

#[test]
fn a_ready_endpoint_of_the_other_family_does_not_hide_draining_ones() {
    let endpoints = vec![draining("10.0.0.1:80"), ready("[fd00::1]:80")];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.1:80"]);
}

#[test]
fn local_policy_offers_endpoints_of_this_node() {
    let endpoints = vec![here(ready("10.0.0.1:80")), ready("10.0.0.2:80")];
    assert_eq!(candidates(endpoints, TrafficPolicy::Local), ["10.0.0.1:80"]);
}

#[test]
fn local_policy_offers_nobody_when_no_endpoint_is_here() {
    assert_eq!(candidates(vec![ready("10.0.0.2:80")], TrafficPolicy::Local), [""; 0]);
}

#[test]
fn local_policy_falls_back_to_draining_endpoints_of_this_node_only() {
    let endpoints = vec![
        here(draining("10.0.0.1:80")),
        draining("10.0.0.2:80"),
        ready("10.0.0.3:80"),
    ];
    assert_eq!(candidates(endpoints, TrafficPolicy::Local), ["10.0.0.1:80"]);
}

#[test]
fn local_policy_does_not_look_at_hints() {
    let endpoints = vec![here(hinted("10.0.0.1:80", &["zone-b"], &["node-2"]))];
    assert_eq!(candidates(endpoints, TrafficPolicy::Local), ["10.0.0.1:80"]);
}

#[test]
fn zone_hints_narrow_when_every_ready_endpoint_has_one() {
    let endpoints = vec![
        hinted("10.0.0.1:80", &["zone-b"], &[]),
        hinted("10.0.0.2:80", &["zone-b", ZONE], &[]),
        not_ready("10.0.0.3:80"),
    ];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.2:80"]);
}

#[test]
fn zone_hints_are_ignored_when_one_ready_endpoint_has_none() {
    let endpoints = vec![
        hinted("10.0.0.1:80", &["zone-b"], &[]),
        hinted("10.0.0.2:80", &[ZONE], &[]),
        ready("10.0.0.3:80"),
    ];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster).len(), 3);
}

#[test]
fn zone_hints_are_ignored_when_none_is_for_this_zone() {
    let elsewhere = || {
        vec![
            hinted("10.0.0.1:80", &["zone-b"], &[]),
            hinted("10.0.0.2:80", &["zone-c"], &[]),
        ]
    };
    assert_eq!(candidates(elsewhere(), TrafficPolicy::Cluster).len(), 2);
    assert_eq!(
        candidates_of(elsewhere(), TrafficPolicy::Cluster, Family::V4, None).len(),
        2
    );
}

#[test]
fn node_hints_go_before_zone_hints() {
    let endpoints = vec![
        hinted("10.0.0.1:80", &[ZONE], &["node-2"]),
        hinted("10.0.0.2:80", &["zone-b"], &[NODE]),
    ];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.2:80"]);
}

#[test]
fn node_hints_for_other_nodes_leave_the_choice_to_zone_hints() {
    let endpoints = vec![
        hinted("10.0.0.1:80", &[ZONE], &["node-2"]),
        hinted("10.0.0.2:80", &["zone-b"], &["node-3"]),
    ];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.1:80"]);
}

#[test]
fn draining_endpoints_are_offered_whatever_their_hints() {
    let endpoints = vec![Endpoint {
        hints: hints(&["zone-b"], &[]),
        ..draining("10.0.0.1:80")
    }];
    assert_eq!(candidates(endpoints, TrafficPolicy::Cluster), ["10.0.0.1:80"]);
}

#[test]
fn of_two_endpoints_with_one_address_the_living_one_stays() {
    let old = Arc::new(Endpoint {
        pod: None,
        ..draining("10.0.0.1:80")
    });
    let new = Arc::new(ready("10.0.0.1:80"));
    assert_eq!(
        merge_endpoints([Arc::clone(&old), Arc::clone(&new)]),
        [Arc::clone(&new)]
    );
    assert_eq!(merge_endpoints([Arc::clone(&new), old]), [new]);
}

#[test]
fn endpoints_that_differ_in_port_only_both_stay() {
    let both = [ready("10.0.0.1:80"), ready("10.0.0.1:81")].map(Arc::new);
    assert_eq!(merge_endpoints(both.clone()), both);
}

fn three() -> Candidates {
    let port = mk_port(
        80,
        vec![ready("10.0.0.1:80"), ready("10.0.0.2:80"), ready("10.0.0.3:80")],
    );
    Candidates::new(&port, TrafficPolicy::Cluster, Family::V4, Place::default())
}

/// Draws by index: the first of three and the second of the remaining two.
fn draw(first: u64, second: u64) -> u64 {
    (second * (1 << 31)) << 32 | (first * (1 << 32)).div_ceil(3)
}

fn chosen(random: u64, tried: &[SocketAddr], load: impl Fn(&Endpoint) -> usize) -> Option<String> {
    three()
        .choose(random, tried, load)
        .map(|endpoint| endpoint.address.to_string())
}

fn loaded(address: &'static str) -> impl Fn(&Endpoint) -> usize {
    move |endpoint| usize::from(endpoint.address == mk_address(address))
}

#[test]
fn the_less_loaded_of_two_drawn_endpoints_is_chosen() {
    assert_eq!(
        chosen(draw(0, 1), &[], loaded("10.0.0.1:80")).as_deref(),
        Some("10.0.0.3:80")
    );
    assert_eq!(
        chosen(draw(0, 1), &[], loaded("10.0.0.3:80")).as_deref(),
        Some("10.0.0.1:80")
    );
    assert_eq!(
        chosen(draw(0, 1), &[], loaded("10.0.0.2:80")).as_deref(),
        Some("10.0.0.1:80")
    );
}

#[test]
fn the_two_drawn_endpoints_are_never_the_same() {
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let mut asked = Vec::new();
        let seen = std::cell::RefCell::new(&mut asked);
        three().choose(draw(first, second), &[], |endpoint| {
            seen.borrow_mut().push(endpoint.address);
            0
        });
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0], asked[1], "drawn {first} and {second}");
    }
}

#[test]
fn what_was_tried_is_not_chosen_again() {
    let tried = [mk_address("10.0.0.1:80"), mk_address("10.0.0.3:80")];
    for random in [draw(0, 0), draw(1, 1), draw(2, 0)] {
        assert_eq!(chosen(random, &tried, |_| 0).as_deref(), Some("10.0.0.2:80"));
    }
    assert_eq!(chosen(0, &[tried[0], tried[1], mk_address("10.0.0.2:80")], |_| 0), None);
}

#[test]
fn nobody_is_chosen_of_nobody_and_the_only_one_of_one() {
    let place = Place::default();
    let nobody = Candidates::new(&mk_port(80, vec![]), TrafficPolicy::Cluster, Family::V4, place);
    assert_eq!(nobody.choose(7, &[], |_| 0), None);
    let one = Candidates::new(
        &mk_port(80, vec![ready("10.0.0.1:80")]),
        TrafficPolicy::Cluster,
        Family::V4,
        place,
    );
    assert_eq!(one.choose(u64::MAX, &[], |_| 0), Some(&Arc::new(ready("10.0.0.1:80"))));
}

#[test]
fn a_remembered_endpoint_is_found_by_its_address_while_it_is_a_candidate() {
    assert_eq!(
        three().at(mk_address("10.0.0.2:80")),
        Some(&Arc::new(ready("10.0.0.2:80")))
    );
    assert_eq!(three().at(mk_address("10.0.0.2:81")), None);
}

//! Who is picked, by load and by trouble.

use std::collections::BTreeMap;

use super::*;
use crate::model::{
    Family, Place, TrafficPolicy,
    sample::{mk_address, mk_endpoint, mk_port},
};

#[test]
fn loads_stay_even_and_are_given_back() {
    let (loads, candidates) = (Loads::default(), mk_candidates());

    let picked: Vec<_> = (0..400)
        .map(|_| choose(&candidates, &[], &[], &loads).unwrap())
        .collect();
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for picked in &picked {
        *counts.entry(picked.address).or_default() += 1;
    }

    assert!(counts.values().all(|count| (90..=110).contains(count)), "{counts:?}");
    drop(picked);
    assert!(loads.lock().is_empty());
}

#[test]
fn who_is_in_trouble_is_picked_only_where_nobody_else_is_left() {
    let (loads, candidates) = (Loads::default(), mk_candidates());
    let addresses: Vec<_> = candidates.iter().map(|endpoint| endpoint.address).collect();
    let (healthy, troubled) = addresses.split_first().unwrap();

    for _ in 0..50 {
        let picked = choose(&candidates, &[], troubled, &loads).unwrap();
        assert_eq!(picked.address, *healthy);
        let retried = choose(&candidates, &[*healthy], troubled, &loads).unwrap();
        assert_ne!(retried.address, *healthy);
    }
    assert!(choose(&candidates, &addresses, &[], &loads).is_none());
}

fn mk_candidates() -> Candidates {
    let endpoints = (1..=4).map(|last| mk_endpoint(&mk_address(&format!("10.0.0.{last}:80")).to_string()));
    Candidates::new(
        &mk_port(80, endpoints.collect()),
        TrafficPolicy::Cluster,
        Family::V4,
        Place::default(),
    )
}

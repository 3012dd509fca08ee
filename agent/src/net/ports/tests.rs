//! Which port comes next.

use super::*;

fn client() -> IpAddr {
    [10, 0, 0, 1].into()
}

fn destination(port: u16) -> SocketAddr {
    ([10, 0, 0, 2], port).into()
}

#[test]
fn a_port_is_used_again_as_late_as_possible() {
    let ports = SourcePorts::default();

    let first_round: Vec<u16> = SourcePorts::USUAL
        .map(|_| ports.take(client(), destination(80)).unwrap().number())
        .collect();
    let next = ports.take(client(), destination(80)).unwrap().number();

    assert_eq!(first_round, SourcePorts::USUAL.collect::<Vec<_>>());
    assert_eq!(next, *SourcePorts::USUAL.start());
}

#[test]
fn a_held_port_is_skipped() {
    let ports = SourcePorts::default();
    let held = ports.take(client(), destination(80)).unwrap();

    let others: Vec<u16> = SourcePorts::USUAL
        .map(|_| ports.take(client(), destination(80)).unwrap().number())
        .collect();

    assert!(!others.contains(&held.number()));
}

#[test]
fn a_port_of_the_clients_own_choice_is_skipped() {
    let ports = SourcePorts::default();
    let theirs = ports.occupy((client(), 10_000).into(), destination(80));

    let ours = ports.take(client(), destination(80)).unwrap();

    assert!(theirs.is_some());
    assert_eq!(ours.number(), 10_001);
}

#[test]
fn a_tuple_with_two_holders_is_free_when_both_let_go() {
    let ports = SourcePorts::default();
    let first = ports.occupy((client(), 10_000).into(), destination(80));
    let second = ports.occupy((client(), 10_000).into(), destination(80));

    drop(first);
    let between = ports.take(client(), destination(80)).unwrap().number();
    drop(second);
    let round: Vec<u16> = SourcePorts::USUAL
        .map(|_| ports.take(client(), destination(80)).unwrap().number())
        .collect();

    assert_eq!(between, 10_001);
    assert_eq!(round[round.len() - 2], 10_000);
}

#[test]
fn a_clients_usual_port_is_not_noted() {
    assert!(
        SourcePorts::default()
            .occupy((client(), 40_000).into(), destination(80))
            .is_none()
    );
}

#[test]
fn destinations_do_not_share_ports() {
    let ports = SourcePorts::default();

    let one = ports.take(client(), destination(80)).unwrap();
    let other = ports.take(client(), destination(81)).unwrap();

    assert_eq!(one.number(), other.number());
}

#[test]
fn the_last_port_taken_is_a_named_error_until_one_is_let_go() {
    let ports = SourcePorts::default();
    let mut held: Vec<SourcePort> = SourcePorts::USUAL
        .map(|_| ports.take(client(), destination(80)).unwrap())
        .collect();

    let refused = ports.take(client(), destination(80)).unwrap_err();
    let freed = held.swap_remove(77).number();
    let taken = ports.take(client(), destination(80)).unwrap();

    assert_eq!(
        refused,
        PortsExhausted {
            client: client(),
            destination: destination(80)
        }
    );
    assert_eq!(taken.number(), freed);
}

#[test]
fn idle_pairs_are_forgotten_after_time_wait() {
    let mut shard = Shard::default();
    for port in 0..200 {
        let pair = Pair {
            client: client(),
            destination: destination(port),
        };
        shard.held(pair, &SourcePorts::USUAL).touched -= TIME_WAIT * 2;
    }

    shard.sweep_at = 0;
    let another = Pair {
        client: client(),
        destination: destination(1000),
    };
    shard.held(another, &SourcePorts::USUAL);

    assert_eq!(shard.pairs.len(), 1);
}

//! Tests of `super`.

use super::*;
use crate::net::DeviceIndex;

#[test]
fn the_route_goes_by_the_default_device_and_has_that_devices_address() {
    let addresses = [own("127.0.0.1", 1), own("192.168.9.4", 3), own("10.0.0.4", 2)];
    assert_eq!(
        route(Family::V4, Some(DeviceIndex(2)), &addresses, &[]),
        Some(local(Family::V4, 2, Some("10.0.0.4")))
    );
}

#[test]
fn without_a_default_route_the_first_address_decides() {
    let addresses = [
        own("127.0.0.1", 1),
        own("10.0.0.4", 2),
        own("fe80::1", 2),
        own("2001:db8::4", 3),
    ];
    assert_eq!(
        route(Family::V4, None, &addresses, &[]),
        Some(local(Family::V4, 2, Some("10.0.0.4")))
    );
    assert_eq!(
        route(Family::V6, None, &addresses, &[]),
        Some(local(Family::V6, 3, None))
    );
}

#[test]
fn the_pods_own_address_is_preferred_to_others_of_its_device() {
    let addresses = [own("10.0.0.3", 2), own("10.0.0.4", 2)];
    assert_eq!(
        route(
            Family::V4,
            Some(DeviceIndex(2)),
            &addresses,
            &["10.0.0.4".parse().unwrap()]
        ),
        Some(local(Family::V4, 2, Some("10.0.0.4")))
    );
}

#[test]
fn a_family_without_an_address_needs_nothing() {
    let addresses = [
        own("127.0.0.1", 1),
        own("::1", 1),
        own("10.0.0.4", 2),
        own("fe80::1", 2),
    ];
    assert_eq!(route(Family::V6, Some(DeviceIndex(2)), &addresses, &[]), None);
    let routing = Routing::with_routes(vec![local(Family::V4, 2, Some("10.0.0.4"))], Dns::Captured);
    assert_eq!(routing.rules.iter().filter(|rule| rule.family == Family::V6).count(), 0);
    assert_eq!(routing.rules.len(), 2);
}

#[test]
fn dns_has_a_rule_only_where_it_is_captured() {
    let routes = vec![local(Family::V4, 2, Some("10.0.0.4"))];
    let rules = |dns| Routing::with_routes(routes.clone(), dns).rules;
    assert_eq!(rules(Dns::Untouched).len(), 1);
    let [capture, queries] = rules(Dns::Captured)[..] else {
        panic!("two rules");
    };
    assert_eq!((capture.mark, capture.mask), (CAPTURED, CAPTURED));
    assert_eq!(
        (queries.mark, queries.mask, queries.packets),
        (0, OURS, Packets::UdpTo(53))
    );
}

#[test]
fn what_is_as_it_should_be_has_no_drift() {
    let routing = whole();
    assert_eq!(routing.drift(&routing.clone()), []);
}

#[test]
fn each_difference_is_told() {
    let expected = whole();
    let mut actual = whole();
    let rule = actual.rules.remove(0);
    let foreign = Rule { preference: 1, ..rule };
    actual.rules.push(foreign);
    let route = actual.routes[0];
    actual.routes[0].device = DeviceIndex(9);
    actual.sysctls[0].1 = "0".into();

    assert_eq!(
        expected.drift(&actual),
        [
            Drift::Sysctl {
                name: "net/ipv4/tcp_fwmark_accept".into(),
                expected: "1".into(),
                actual: "0".into(),
            },
            Drift::MissingRoute(route),
            Drift::ForeignRoute(actual.routes[0]),
            Drift::MissingRule(rule),
            Drift::ForeignRule(foreign),
        ]
    );
}

fn whole() -> Routing {
    Routing::with_routes(vec![local(Family::V4, 2, Some("10.0.0.4"))], Dns::Captured)
}

fn own(ip: &str, device: u32) -> OwnAddress {
    OwnAddress {
        ip: ip.parse().unwrap(),
        device: DeviceIndex(device),
        device_name: format!("eth{device}"),
    }
}

fn local(family: Family, device: u32, source: Option<&str>) -> LocalDefault {
    LocalDefault {
        family,
        device: DeviceIndex(device),
        source: source.map(|ip| ip.parse().unwrap()),
        table: TABLE,
    }
}

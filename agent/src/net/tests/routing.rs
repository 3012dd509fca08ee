//! Rules, routes and addresses.

use std::net::IpAddr;

use super::{super::*, ip, namespace};

const MARK: u32 = 0x1000_0000;
const TABLE: u32 = 0x7765;

fn marked(family: Family) -> Rule {
    Rule {
        family,
        preference: 4100,
        mask: MARK,
        mark: MARK,
        packets: Packets::All,
        table: TABLE,
    }
}

fn dns(family: Family) -> Rule {
    Rule {
        family,
        preference: 4101,
        mask: 0x2000_0000,
        mark: 0,
        packets: Packets::UdpTo(53),
        table: TABLE,
    }
}

#[test]
fn rules_are_added_listed_and_deleted_however_often() {
    let Some(netns) = namespace("rules_are_added_listed_and_deleted_however_often") else {
        return;
    };

    for family in [Family::V4, Family::V6] {
        let ours = [marked(family), dns(family)];
        for rule in ours.iter().chain(&ours) {
            rule.add(&netns).unwrap();
        }
        assert_eq!(Rule::list(&netns, family).unwrap(), ours);
        for rule in ours.iter().chain(&ours) {
            rule.delete(&netns).unwrap();
        }
        assert_eq!(Rule::list(&netns, family).unwrap(), []);
    }
}

#[test]
fn rules_read_as_iproute_writes_them() {
    let Some(netns) = namespace("rules_read_as_iproute_writes_them") else {
        return;
    };
    ip(
        &netns,
        "rule add pref 4100 iif lo fwmark 0x10000000/0x10000000 lookup 30565",
    );
    ip(
        &netns,
        "rule add pref 4101 iif lo ipproto udp dport 53 fwmark 0/0x20000000 lookup 30565",
    );

    assert_eq!(
        Rule::list(&netns, Family::V4).unwrap(),
        [marked(Family::V4), dns(Family::V4)]
    );
}

#[test]
fn rules_of_others_are_left_out() {
    let Some(netns) = namespace("rules_of_others_are_left_out") else {
        return;
    };
    ip(&netns, "rule add pref 1 fwmark 0x539 lookup 100");
    ip(
        &netns,
        "rule add pref 2 iif lo fwmark 0x10000000/0x10000000 uidrange 1-2 lookup 30565",
    );
    ip(
        &netns,
        "rule add pref 3 iif lo ipproto tcp dport 53 fwmark 0/0x20000000 lookup 30565",
    );

    assert_eq!(Rule::list(&netns, Family::V4).unwrap(), []);
}

#[test]
fn local_default_routes_are_added_changed_and_deleted_however_often() {
    let Some(netns) = namespace("local_default_routes_are_added_changed_and_deleted_however_often") else {
        return;
    };
    wire(&netns);

    for (family, first, second) in [(Family::V4, "10.1.0.1", "10.1.0.2"), (Family::V6, "fd01::1", "fd01::2")] {
        let device = default_device(&netns, family).unwrap().unwrap();
        let route = |source: &str| LocalDefault {
            family,
            device,
            source: Some(source.parse().unwrap()),
            table: TABLE,
        };
        route(first).add(&netns).unwrap();
        route(first).add(&netns).unwrap();
        assert_eq!(LocalDefault::list(&netns, family, TABLE).unwrap(), [route(first)]);
        route(second).add(&netns).unwrap();
        assert_eq!(LocalDefault::list(&netns, family, TABLE).unwrap(), [route(second)]);
        route(second).delete(&netns).unwrap();
        route(second).delete(&netns).unwrap();
        assert_eq!(LocalDefault::list(&netns, family, TABLE).unwrap(), []);
    }
}

#[test]
fn the_default_device_is_the_preferred_one() {
    let Some(netns) = namespace("the_default_device_is_the_preferred_one") else {
        return;
    };
    wire(&netns);
    assert_eq!(
        default_device(&netns, Family::V4).unwrap(),
        Some(device_named(&netns, "eth0"))
    );

    ip(&netns, "link add eth1 type veth peer veth1");
    ip(&netns, "addr add 10.2.0.1/24 dev eth1");
    ip(&netns, "link set eth1 up");
    ip(&netns, "link set veth1 up");
    ip(&netns, "route add default dev eth1 metric 20");
    ip(&netns, "route del default dev eth0");
    ip(&netns, "route add default dev eth0 metric 30");

    assert_eq!(
        default_device(&netns, Family::V4).unwrap(),
        Some(device_named(&netns, "eth1"))
    );
}

#[test]
fn a_namespace_without_a_default_route_has_no_default_device() {
    let Some(netns) = namespace("a_namespace_without_a_default_route_has_no_default_device") else {
        return;
    };

    assert_eq!(default_device(&netns, Family::V4).unwrap(), None);
}

#[tokio::test]
async fn addresses_are_listed_and_followed() {
    let Some(netns) = namespace("addresses_are_listed_and_followed") else {
        return;
    };
    let mut watch = AddressWatch::open(&netns).unwrap();
    assert_eq!(ips(watch.addresses()), ["127.0.0.1", "::1"]);

    ip(&netns, "link add eth0 type veth peer veth0");
    ip(&netns, "addr add 10.1.0.1/24 dev eth0");
    while !ips(watch.addresses()).contains(&"10.1.0.1".into()) {
        watch.changed().await.unwrap();
    }
    ip(&netns, "link set eth0 name net1");
    while !watch.addresses().iter().any(|address| address.device_name == "net1") {
        watch.changed().await.unwrap();
    }
    ip(&netns, "link del net1");
    while ips(watch.addresses()).contains(&"10.1.0.1".into()) {
        watch.changed().await.unwrap();
    }

    assert_eq!(ips(watch.addresses()), ["127.0.0.1", "::1"]);
}

#[tokio::test]
async fn a_default_route_that_comes_last_is_a_change() {
    let Some(netns) = namespace("a_default_route_that_comes_last_is_a_change") else {
        return;
    };
    wire(&netns);
    ip(&netns, "route del default");
    let mut watch = AddressWatch::open(&netns).unwrap();
    let before = watch.addresses().to_vec();

    ip(&netns, "route add default dev eth0");
    let after = watch.changed().await.unwrap();

    assert_eq!(after, before);
}

#[tokio::test]
async fn changes_beyond_the_buffer_are_not_lost() {
    let Some(netns) = namespace("changes_beyond_the_buffer_are_not_lost") else {
        return;
    };
    let mut watch = AddressWatch::open(&netns).unwrap();
    let batch = tempfile::NamedTempFile::new().unwrap();
    let commands: String = (0..2000)
        .map(|n| format!("addr add 10.1.{}.{}/16 dev lo\n", n / 250, n % 250 + 1))
        .collect();
    std::fs::write(&batch, commands).unwrap();

    ip(&netns, &format!("-batch {}", batch.path().display()));
    watch.changed().await.unwrap();

    assert_eq!(watch.addresses().len(), 2002);
}

/// Gives a namespace a device as pods have one.
fn wire(netns: &NetNs) {
    ip(netns, "link add eth0 type veth peer veth0");
    // The kernel adds a link-local address when it has seen the link's carrier (`addrconf_notify`, 6.18), which is some
    // time after both ends are up: to whoever follows the addresses that would be a change of its own.
    ip(netns, "link set eth0 addrgenmode none");
    ip(netns, "addr add 10.1.0.1/24 dev eth0");
    ip(netns, "addr add 10.1.0.2/24 dev eth0");
    ip(netns, "addr add fd01::1/64 dev eth0 nodad");
    ip(netns, "addr add fd01::2/64 dev eth0 nodad");
    ip(netns, "link set eth0 up");
    ip(netns, "link set veth0 up");
    ip(netns, "route add default dev eth0");
    ip(netns, "-6 route add default dev eth0");
}

fn device_named(netns: &NetNs, name: &str) -> DeviceIndex {
    own_addresses(netns)
        .unwrap()
        .iter()
        .find(|address| address.device_name == name)
        .map(|address| address.device)
        .unwrap()
}

fn ips(addresses: &[OwnAddress]) -> Vec<String> {
    addresses
        .iter()
        .map(|address| address.ip)
        .map(|ip: IpAddr| ip.to_string())
        .collect()
}

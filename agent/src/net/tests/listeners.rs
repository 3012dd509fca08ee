//! Where listeners come to be.

use std::net::Ipv4Addr;

use super::{super::*, namespace};

#[test]
fn a_listener_is_on_loopback_outside_the_ephemeral_ports() {
    let Some(netns) = namespace("a_listener_is_on_loopback_outside_the_ephemeral_ports") else {
        return;
    };
    let ports = ListenerPorts::of(&netns, [65535, 65533]).unwrap();

    let queue = Backlog::Namespace.queue(&netns).unwrap();
    let listeners =
        [Family::V4, Family::V6].map(|family| listen(&netns, family, &ports, Mark(0x2000_0000), queue).unwrap());

    assert_eq!(
        listeners.map(|listener| listener.local_addr().unwrap().to_string()),
        ["127.0.0.1:65534", "[::1]:65534"]
    );
}

#[test]
fn a_listener_skips_ports_in_use() {
    let Some(netns) = namespace("a_listener_skips_ports_in_use") else {
        return;
    };
    let ports = ListenerPorts::of(&netns, []).unwrap();
    let queue = Backlog::AtLeast(20_000).queue(&netns).unwrap();
    let _first = listen(&netns, Family::V4, &ports, Mark(0), queue).unwrap();

    let second = listen(&netns, Family::V4, &ports, Mark(0), queue).unwrap();

    assert_eq!(second.local_addr().unwrap(), (Ipv4Addr::LOCALHOST, 65534).into());
    assert_eq!(Sysctl::new("net/core/somaxconn").read(&netns).unwrap(), "20000");
}

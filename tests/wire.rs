//! What anybody on the wire sees of mutual TLS: version 1.3, on the original destination's port.

use agent_common::{Direction, Hello};
use harness::{Fate, Greeting, Packet, Sniffer, Way, wait};

use crate::{
    downgrade::{KIND, both, mesh_id, relay},
    mtls::{Pair, TEXT},
};

#[test]
fn the_wire_shows_tls_of_version_1_3_on_the_original_port() {
    let pair = Pair::start();
    let sniffer = Sniffer::start(pair.client.netns(), "eth0");
    both(|family| {
        let to = pair.to(family);
        assert_eq!(pair.talk(family).unwrap(), TEXT.as_bytes());
        let greetings = |such: fn(&Packet) -> std::net::SocketAddr| {
            let packets = sniffer.packets();
            let from = packets.iter().filter(move |packet| such(packet) == to);
            from.filter_map(|packet| packet.greeting).collect::<Vec<_>>()
        };
        wait::until(wait::PATIENCE, "both greetings", || {
            greetings(|packet| packet.destination) == [Greeting::Offers { only_tls13: true }]
                && greetings(|packet| packet.source) == [Greeting::Selects { version: 0x0304 }]
        });
    });
}

#[test]
fn openssl_speaks_tls_1_3_with_an_agent_on_the_original_port_and_nothing_older() {
    let pair = Pair::start();
    let stranger = pair.mesh.plain(0, "stranger");
    // Whoever does not greet is not waited for, and its ClientHello refused: a path greets in its name.
    let greeting = Hello::new(mesh_id(&pair), Direction::Asks);
    let _path = relay(&pair.mesh, &stranger, move |way, segment| {
        if way == Way::Out && segment.option(KIND).is_none() {
            segment.forge(greeting.bytes());
        }
        Fate::Passes
    });
    both(|family| {
        let shake = |version: &str| {
            let to = pair.to(family);
            let command = "openssl s_client -brief -alpn weft-tcp/1";
            stranger
                .netns()
                .sh(&format!("{command} {version} -connect {to} </dev/null 2>&1 || true"))
        };
        let told = shake("-tls1_3");
        for part in ["Protocol version: TLSv1.3", "Peer certificate:"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = shake("-tls1_2");
        assert!(!told.contains("Protocol version"), "{told}");
    });
}

//! How agents know each other: the TCP option in SYN and SYN-ACK, and what each side makes of it.
//!
//! The client is a socket of the test with the marks of the agent's own, the server a real agent's inbound listener.

mod pair;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use agent_common::{
    Direction, Hello, MeshId,
    mark::{ASKS, OURS},
    priority::{SPEAKS, UNKNOWN},
};
use harness::{App, Family, Fate, Packet, Pod, Segment, Sniffer, Way, wait};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use self::pair::{MESH, Pair, meshed, said};
use crate::{
    counts::{Counts, DUMP},
    mesh::Single,
};

#[test]
fn agents_of_one_mesh_greet_in_syn_and_syn_ack_and_nowhere_else() {
    let pair = Pair::start();
    for family in Family::BOTH {
        let sniffer = Sniffer::start(pair.client.netns(), "eth0");
        let before = pair.counts();
        let stream = pair.ask(family).unwrap();
        assert_eq!(priority(&stream), SPEAKS, "{family:?}");
        // Each node's programs see the other's sockets as well: both agents share this kernel.
        pair.check(
            &before,
            [&[("asked", 1), ("heard", 1)], &[("answered", 1), ("heard", 1)]],
        );
        let ours = stream.local_addr().unwrap();
        drop(stream);
        wait::until(wait::PATIENCE, "the connection ends", || {
            sniffer.count(|packet| packet.destination == ours && !packet.is_syn_ack()) > 0
        });
        let said: Vec<_> = sniffer
            .packets()
            .iter()
            .filter(|packet| is_of(packet, ours))
            .filter_map(|packet| Some((packet.way, hello(packet)?.to_vec())))
            .collect();
        let [asked, answered] =
            [Direction::Asks, Direction::Answers].map(|direction| Hello::new(MESH, direction).bytes().to_vec());
        assert_eq!(said, [(Way::Out, asked), (Way::In, answered)], "{family:?}");
    }
}

#[test]
fn an_end_without_an_agent_says_nothing() {
    let mesh = meshed();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.plain(1, "server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let sniffer = Sniffer::start(client.netns(), "eth0");
        let stream = client
            .dial(server.addresses().at(family, 8080))
            .mark(OURS | ASKS)
            .connect()
            .unwrap();
        assert_eq!(priority(&stream), 0);
        let ours = stream.local_addr().unwrap();
        assert_eq!(greetings(&sniffer, ours), [true, false], "{family:?}");
    }
}

#[test]
fn who_does_not_ask_is_not_answered() {
    let pair = Pair::start();
    for family in Family::BOTH {
        let before = pair.counts();
        let sniffer = Sniffer::start(pair.client.netns(), "eth0");
        let stream = pair.client.dial(pair.to(family)).mark(OURS).connect().unwrap();
        assert_eq!(priority(&stream), 0);
        assert_eq!(
            greetings(&sniffer, stream.local_addr().unwrap()),
            [false, false],
            "{family:?}"
        );
        pair.check(&before, [&[], &[]]);
    }
}

#[test]
fn only_sockets_in_the_agents_own_pods_greet() {
    let mesh = meshed();
    let (client, server) = (mesh.plain(0, "client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let sniffer = Sniffer::start(client.netns(), "eth0");
        let stream = client
            .dial(server.addresses().at(family, 8080))
            .mark(OURS | ASKS)
            .connect()
            .unwrap();
        assert_eq!(priority(&stream), 0);
        assert_eq!(
            greetings(&sniffer, stream.local_addr().unwrap()),
            [false, false],
            "{family:?}"
        );
    }
}

#[test]
fn an_agent_of_another_mesh_is_not_heard() {
    let pair = Pair::start();
    pair.mesh.nodes[1].knows_mesh(MeshId::new(*b"else"));
    for family in Family::BOTH {
        let before = pair.counts();
        let sniffer = Sniffer::start(pair.client.netns(), "eth0");
        let stream = pair.ask(family).unwrap();
        assert_eq!(priority(&stream), 0);
        assert_eq!(
            greetings(&sniffer, stream.local_addr().unwrap()),
            [true, false],
            "{family:?}"
        );
        pair.check(&before, [&[("asked", 1)], &[]]);
    }
}

#[test]
fn an_option_with_a_forged_id_is_not_heard() {
    let pair = Pair::start();
    let _path = pair.relay(|_, segment| {
        if let Some(option) = segment.option(KIND) {
            option[6..10].copy_from_slice(b"else");
        }
        Fate::Passes
    });
    for family in Family::BOTH {
        let before = pair.counts();
        assert_eq!(priority(&pair.ask(family).unwrap()), 0);
        pair.check(&before, [&[("asked", 1)], &[]]);
    }
}

#[test]
fn an_option_that_comes_back_as_it_was_sent_is_no_answer() {
    let pair = Pair::start();
    let _path = pair.relay(|way, segment| {
        if let (Way::In, Some(option)) = (way, segment.option(KIND)) {
            option.copy_from_slice(Hello::new(MESH, Direction::Asks).bytes());
        }
        Fate::Passes
    });
    for family in Family::BOTH {
        let before = pair.counts();
        assert_eq!(priority(&pair.ask(family).unwrap()), 0);
        pair.check(&before, [&[("asked", 1)], &[("answered", 1), ("heard", 1)]]);
    }
}

#[test]
fn a_path_that_strips_the_question_leaves_both_without() {
    let pair = Pair::start();
    let _path = pair.relay(strip(Way::Out));
    for family in Family::BOTH {
        let before = pair.counts();
        let stream = pair.ask(family).unwrap();
        assert_eq!(priority(&stream), 0);
        pair.check(&before, [&[("asked", 1)], &[]]);
    }
}

#[test]
fn a_path_that_strips_the_answer_leaves_the_server_hearing() {
    let pair = Pair::start();
    let _path = pair.relay(strip(Way::In));
    for family in Family::BOTH {
        let before = pair.counts();
        assert_eq!(priority(&pair.ask(family).unwrap()), 0);
        pair.check(&before, [&[("asked", 1)], &[("answered", 1), ("heard", 1)]]);
    }
}

#[test]
fn a_path_that_drops_the_option_costs_one_retransmission() {
    let pair = Pair::start();
    let _path = pair.relay(|_, segment| {
        if segment.option(KIND).is_some() {
            Fate::Lost
        } else {
            Fate::Passes
        }
    });
    for family in Family::BOTH {
        let sniffer = Sniffer::start(pair.client.netns(), "eth0");
        let stream = pair.ask(family).unwrap();
        assert_eq!(priority(&stream), 0);
        let ours = stream.local_addr().unwrap();
        let greets = wait::until_some(wait::PATIENCE, "both SYNs on the wire", || {
            let packets = sniffer.packets();
            let syns = packets.iter().filter(|packet| packet.is_syn() && packet.source == ours);
            let greets: Vec<_> = syns.map(|syn| hello(syn).is_some()).collect();
            (greets.len() > 1).then_some(greets)
        });
        assert_eq!(greets, [true, false], "{family:?}");
    }
}

#[test]
fn a_connection_of_a_syn_cookie_leaves_the_client_without_and_the_server_in_doubt() {
    let pair = Pair::start();
    pair.server.netns().set("ipv4/tcp_syncookies", "2");
    for family in Family::BOTH {
        let before = pair.counts();
        let sniffer = Sniffer::start(pair.client.netns(), "eth0");
        let stream = pair.ask(family).unwrap();
        assert_eq!(priority(&stream), 0);
        assert_eq!(
            greetings(&sniffer, stream.local_addr().unwrap()),
            [true, false],
            "{family:?}"
        );
        pair.check(&before, [&[("asked", 1)], &[("cookie", 1)]]);
    }
}

#[test]
fn an_accepted_socket_says_what_was_heard() {
    let mesh = Single::start();
    mesh.node.knows_mesh(MESH);
    let pod = mesh.pod("mesh/pod");
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let listener = listener(&pod, loopback.parse().unwrap());
        let to = listener.local_addr().unwrap();
        let accepted = |mark| {
            let stream = pod.dial(to).mark(mark).connect().unwrap();
            (priority(&stream), priority(&listener.accept().unwrap().0))
        };
        pod.netns().set("ipv4/tcp_syncookies", "1");
        assert_eq!(accepted(OURS | ASKS), (SPEAKS, SPEAKS), "{loopback}");
        assert_eq!(accepted(OURS), (0, 0), "{loopback}");
        pod.netns().set("ipv4/tcp_syncookies", "2");
        assert_eq!(accepted(OURS | ASKS), (0, UNKNOWN), "{loopback}");
        assert_eq!(accepted(OURS), (0, UNKNOWN), "{loopback}");
    }
}

#[test]
fn a_syn_that_is_full_of_other_options_goes_without() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    mesh.node.knows_mesh(MESH);
    // For clients, servers and any listener: a cookie of TCP Fast Open leaves eight bytes.
    pod.netns().set("ipv4/tcp_fastopen", "1027");
    let listener = listener(&pod, "127.0.0.1:0".parse().unwrap());
    let to = listener.local_addr().unwrap();
    // The first SYN asks for the cookie, which fills the SYN-ACK; the next one carries it.
    let first = [("asked", 1), ("heard", 1), ("no_room", 1)];
    for expected in [&first[..], &[("no_room", 1)]] {
        let before = Counts::of(&mesh.agent.debug(DUMP));
        let mut stream: TcpStream = pod
            .run(|| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
                socket.set_mark(OURS | ASKS)?;
                setsockopt(&socket, sockopt::TcpFastOpenConnect, &true)?;
                socket.connect(&to.into())?;
                std::io::Result::Ok(socket.into())
            })
            .unwrap();
        stream.write_all(b"x").unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        accepted.read_exact(&mut [0]).unwrap();
        let after = Counts::of(&mesh.agent.debug(DUMP));
        assert_eq!(said(&before, &after), expected);
        assert_eq!(priority(&stream), 0);
    }
}

#[test]
fn the_listeners_of_a_restarted_agent_hear() {
    let mut pair = Pair::start();
    pair.mesh.agents[1].restart();
    pair.mesh.nodes[1].knows_mesh(MESH);
    // Its listeners stand before they are in their slots; until then the application answers.
    wait::until(wait::PATIENCE, "the new agent answers", || {
        pair.ask(Family::V4).is_ok_and(|stream| priority(&stream) == SPEAKS)
    });
    for family in Family::BOTH {
        let before = pair.counts();
        assert_eq!(priority(&pair.ask(family).unwrap()), SPEAKS, "{family:?}");
        pair.check(
            &before,
            [&[("asked", 1), ("heard", 1)], &[("answered", 1), ("heard", 1)]],
        );
    }
}

/// A listener as the agent's, but one whose connections the test accepts.
fn listener(pod: &Pod, at: SocketAddr) -> TcpListener {
    let listener = pod.run(|| {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_mark(OURS)?;
        socket.bind(&at.into())?;
        socket.listen(16)?;
        std::io::Result::Ok(socket.into())
    });
    listener.unwrap()
}

/// A path that strips the option from what goes this way, as the client sees it.
fn strip(stripped: Way) -> impl Fn(Way, &mut Segment<'_>) -> Fate {
    move |way, segment| {
        if way == stripped {
            segment.strip(KIND);
        }
        Fate::Passes
    }
}

/// Whether the SYN and the SYN-ACK of the connection from `ours` carry the option.
fn greetings(sniffer: &Sniffer, ours: SocketAddr) -> [bool; 2] {
    [Packet::is_syn, Packet::is_syn_ack].map(|such| {
        wait::until_some(wait::PATIENCE, "the handshake on the wire", || {
            let packets = sniffer.packets();
            let mut handshake = packets.iter().filter(|packet| is_of(packet, ours) && such(packet));
            handshake.next().map(|packet| hello(packet).is_some())
        })
    })
}

fn is_of(packet: &Packet, ours: SocketAddr) -> bool {
    packet.source == ours || packet.destination == ours
}

fn hello(packet: &Packet) -> Option<&[u8]> {
    packet.options.find(KIND)
}

fn priority(stream: &TcpStream) -> u32 {
    u32::try_from(getsockopt(stream, sockopt::Priority).unwrap()).unwrap()
}

const KIND: u8 = 254;

//! What is captured: every TCP connection of an enrolled pod, both ways, and nothing else. What the application and its
//! client see stays true.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use harness::{App, Family, Object, Sniffer, Talk, Way, wait};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::mesh::{Mesh, Single, listening, opened, record_from, records_from};

#[test]
fn a_connection_between_nodes_passes_both_agents_and_keeps_both_addresses() {
    let mesh = Mesh::start();
    // Of another node's pods an agent knows only those behind services; the client comes last and brings that news.
    mesh.apply(&Object::headless("mesh/server", "server").port("echo", 8080, 8080));
    let server = mesh.pod(1, "mesh/server");
    let client = mesh.pod(0, "mesh/client");
    let app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let stream = client.connect(to).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), to);
        assert_eq!(stream.local_addr().unwrap().ip(), client.addresses().of(family));
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        let seen = *app.seen().last().unwrap();
        assert_eq!(
            seen.peer.ip(),
            client.addresses().of(family),
            "the application sees the client's own address"
        );
        assert_eq!(seen.local, to);
        drop(stream);

        let of = |record: &serde_json::Value| record["original_destination"] == to.to_string().as_str();
        let outbound = mesh.agents[0].record("the client's agent tells it", of);
        assert_eq!(outbound["direction"], "outbound");
        assert_eq!(outbound["source_pod"], client.object().full_name().as_str());
        assert_eq!(outbound["destination_pod"], server.object().full_name().as_str());
        assert_eq!(
            (&outbound["bytes_sent"], &outbound["bytes_received"]),
            (&5.into(), &5.into())
        );
        assert_eq!(outbound["reason"], serde_json::Value::Null);
        let inbound = mesh.agents[1].record("the server's agent tells it", of);
        assert_eq!(inbound["direction"], "inbound");
        assert_eq!(inbound["destination_pod"], server.object().full_name().as_str());
    }
}

const TEXT: &str = "nobody on the wire reads this";

#[test]
fn a_connection_on_one_node_is_one_pass_and_no_byte_of_it_crosses_a_wire() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let app = server.serve(8080, App::Echo);
    let sniffers = [&client, &server].map(|pod| Sniffer::looking_for(pod.netns(), "eth0", TEXT));
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let stream = client.connect(to).unwrap();
        assert_eq!(Talk::ask(&stream, TEXT.as_bytes()).unwrap(), TEXT.as_bytes());
        assert_eq!(app.peers().last().unwrap().ip(), client.addresses().of(family));
        drop(stream);
        let record = mesh.agent.record("one record", |record| {
            record["original_destination"] == to.to_string().as_str()
        });
        assert_eq!(record["direction"], "local", "{record}");
    }
    assert_eq!(mesh.agent.records().len(), 2, "{:?}", mesh.agent.records());
    for sniffer in sniffers {
        // The lease is asked for over the wire.
        assert!(sniffer.count(|packet| packet.is_syn()) > 0);
        assert_eq!(sniffer.told(), 0, "{:?}", sniffer.packets());
    }
}

#[test]
fn clients_outside_the_mesh_reach_an_enrolled_pod_with_their_own_address() {
    let mesh = Mesh::start();
    let server = mesh.pod(1, "mesh/server");
    let app = server.serve(8080, App::Echo);
    for client in [mesh.plain(0, "far"), mesh.plain(1, "near")] {
        for family in Family::BOTH {
            let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            assert_eq!(app.peers().last().unwrap().ip(), client.addresses().of(family));
        }
    }
    wait::until(wait::PATIENCE, "four inbound records", || {
        mesh.agents[1].records().len() == 4
    });
    assert!(
        mesh.agents[1]
            .records()
            .iter()
            .all(|record| record["direction"] == "inbound")
    );
}

#[test]
fn an_enrolled_client_reaches_pods_outside_the_mesh() {
    let mesh = Mesh::start();
    let client = mesh.pod(0, "mesh/client");
    for server in [mesh.plain(0, "near"), mesh.plain(1, "far")] {
        let app = server.serve(8080, App::Echo);
        for family in Family::BOTH {
            let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            assert_eq!(app.peers().last().unwrap().ip(), client.addresses().of(family));
        }
    }
    wait::until(wait::PATIENCE, "four outbound records", || {
        records_from(&mesh.agents[0], &client).len() == 4
    });
}

#[test]
fn pods_outside_the_mesh_are_left_alone() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.plain(0, "client"), mesh.plain(1, "server"));
    let app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(app.peers().last().unwrap(), &stream.local_addr().unwrap());
    }
    assert!(mesh.agents.iter().all(|agent| opened(agent) == 0));
    assert!([&client, &server].iter().all(|pod| listening(pod).is_empty()));
}

#[test]
fn own_addresses_and_loopback_are_not_touched() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let app = pod.serve(8080, App::Echo);
    let mut own: Vec<IpAddr> = pod.addresses().both().to_vec();
    own.extend(harness::Addresses::LOOPBACK.both());
    own.push([127, 0, 0, 53].into());
    for address in own {
        let stream = pod.connect((address, 8080).into()).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(
            app.peers().last().unwrap(),
            &stream.local_addr().unwrap(),
            "to {address} without the agent"
        );
    }
    assert_eq!(opened(&mesh.agent), 0);
}

#[test]
fn an_address_that_is_added_later_is_the_pods_own_too() {
    let mesh = Single::start();
    let (pod, client) = (mesh.pod("mesh/pod"), mesh.plain("client"));
    let app = pod.serve(8080, App::Echo);
    let added = ["10.101.200.1", "fd00:244:0:1::2001"].map(|address| address.parse::<IpAddr>().unwrap());
    pod.netns().ip(&format!(
        "address add {}/16 dev eth0\naddress add {}/64 dev eth0 nodad\n",
        added[0], added[1]
    ));
    for address in added {
        let to = SocketAddr::new(address, 8080);
        wait::until(wait::PATIENCE, "the pod reaches its new address directly", || {
            let Ok(stream) = pod
                .dial(to)
                .bind((address, 0).into())
                .timeout(Duration::from_millis(200))
                .connect()
            else {
                return false;
            };
            Talk::ask(&stream, b"x").is_ok() && app.peers().last() == stream.local_addr().ok().as_ref()
        });
        let before = opened(&mesh.agent);
        let stream = client.connect(to).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(opened(&mesh.agent), before + 1, "others reach it through the agent");
    }
}

#[test]
fn udp_is_not_touched() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let app = server.serve_udp(5300);
    for family in Family::BOTH {
        let socket = client
            .run(|| std::net::UdpSocket::bind(client.addresses().at(family, 0)))
            .unwrap();
        socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        // A connected UDP socket passes the connect programs, an unconnected one does not.
        socket.send_to(b"one", server.addresses().at(family, 5300)).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 3);
        client
            .run(|| socket.connect(server.addresses().at(family, 5300)))
            .unwrap();
        socket.send(b"other").unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 5);
        assert_eq!(app.peers().last().unwrap(), &socket.local_addr().unwrap());
    }
    assert!(mesh.agents.iter().all(|agent| opened(agent) == 0));
}

#[test]
fn a_socket_bound_to_the_device_is_captured() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let stream = client
            .dial(server.addresses().at(family, 8080))
            .device("eth0")
            .connect()
            .unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
    wait::until(wait::PATIENCE, "two records", || {
        records_from(&mesh.agents[0], &client).len() == 2
    });
}

#[test]
fn a_socket_bound_to_an_address_and_port_is_captured_and_keeps_them() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let from = client.addresses().at(family, 20_000);
        let stream = client
            .dial(server.addresses().at(family, 8080))
            .bind(from)
            .connect()
            .unwrap();
        assert_eq!(stream.local_addr().unwrap(), from);
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    }
    wait::until(wait::PATIENCE, "two records", || {
        records_from(&mesh.agents[0], &client).len() == 2
    });
}

#[test]
fn a_socket_keeps_its_other_mark_bits_and_is_captured() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Echo);
    let stream = client
        .dial(server.addresses().at(Family::V4, 8080))
        .mark(0x42)
        .connect()
        .unwrap();
    assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
    assert_eq!(socket2::SockRef::from(&stream).mark().unwrap() & 0xff, 0x42);
    assert_eq!(opened(&mesh.agent), 1);
}

#[test]
fn multipath_tcp_is_captured() {
    let mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.plain("server"));
    let _app = server.serve(8080, App::Who);
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        let connected = client.run(|| {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::MPTCP))?;
            socket.set_read_timeout(Some(wait::PATIENCE))?;
            socket.connect_timeout(&to.into(), wait::PATIENCE).map(|()| socket)
        });
        let unsupported = [Errno::EPROTONOSUPPORT, Errno::ENOPROTOOPT].map(|errno| Some(errno as i32));
        let socket = match connected {
            Err(error) if unsupported.contains(&error.raw_os_error()) => harness::skip!("no MPTCP in this kernel"),
            connected => connected.unwrap(),
        };
        assert!(
            Talk::hear(std::net::TcpStream::from(socket))
                .unwrap()
                .starts_with("server ")
        );
    }
    assert_eq!(opened(&mesh.agent), 2);
}

#[test]
fn an_application_that_calls_the_agents_listener_is_refused() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let listeners = listening(&pod);
    assert!(!listeners.is_empty());
    for listener in listeners {
        // RST may come before or after the handshake is seen to end.
        if let Ok(stream) = pod.connect(listener) {
            let heard = Talk::hear(&stream);
            assert!(
                matches!(&heard, Err(error) if error.kind() == io::ErrorKind::ConnectionReset),
                "{heard:?}"
            );
        }
        mesh.agent.record("the refusal", |record| {
            record["reason"] == "direct_call" && record["original_destination"] == listener.to_string().as_str()
        });
    }
    assert_eq!(record_from(&mesh.agent, &pod)["fault"], "client");
}

#[test]
fn listeners_stay_clear_of_the_ports_of_applications() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let range = pod.netns().setting("ipv4/ip_local_port_range");
    let bounds: Vec<u16> = range.split_whitespace().map(|bound| bound.parse().unwrap()).collect();
    for listener in listening(&pod) {
        assert!(
            !(bounds[0]..=bounds[1]).contains(&listener.port()),
            "{listener} lies in {range}"
        );
    }
}

#[test]
fn the_node_itself_reaches_an_enrolled_pod_through_the_agent() {
    let mesh = Single::start();
    let server = mesh.pod("mesh/server");
    let app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let stream = harness::Dial::new(mesh.node.netns(), server.addresses().at(family, 8080))
            .connect()
            .unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        assert_eq!(app.peers().last().unwrap().ip(), mesh.node.gateway().of(family));
    }
    assert_eq!(opened(&mesh.agent), 2);
}

#[test]
fn no_plain_syn_leaves_for_what_was_captured_but_the_agents_own() {
    let mesh = Mesh::start();
    let (client, server) = (mesh.pod(0, "mesh/client"), mesh.pod(1, "mesh/server"));
    let _app = server.serve(8080, App::Echo);
    for family in Family::BOTH {
        let sniffer = Sniffer::start(client.netns(), "eth0");
        let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
        assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
        let own = stream.local_addr().unwrap();
        let from_application = |packet: &harness::Packet| packet.way == Way::Out && packet.source == own;
        assert_eq!(sniffer.count(from_application), 0, "{:?}", sniffer.packets());
        wait::until(wait::PATIENCE, "the agent's own SYN", || {
            sniffer.count(|packet| packet.way == Way::Out && packet.is_syn()) == 1
        });
    }
}

//! The harness without a mesh: what it builds works as a cluster's network does.

use std::{
    collections::HashSet,
    io,
    net::{Shutdown, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use harness::{App, Family, Lab, Sniffer, Talk, Way, wait};

#[test]
fn pods_of_two_nodes_reach_each_other_without_a_mesh() {
    let lab = Lab::new();
    let [one, two] = ["one", "two"].map(|name| lab.node(name));
    let [client, near, far] =
        [one.pod("plain/client"), one.pod("plain/near"), two.pod("plain/far")].map(|pod| pod.start());
    for server in [&near, &far] {
        let app = server.serve(8080, App::Echo);
        for family in Family::BOTH {
            let stream = client.connect(server.addresses().at(family, 8080)).unwrap();
            assert_eq!(Talk::ask(&stream, b"hello").unwrap(), b"hello");
            assert_eq!(app.peers().last(), Some(&stream.local_addr().unwrap()));
        }
    }
}

#[test]
fn a_lab_of_two_nodes_and_three_pods_is_quickly_made() {
    wait::in_time(Duration::from_secs(2), || {
        let start = Instant::now();
        let lab = Lab::new();
        let [one, two] = ["one", "two"].map(|name| lab.node(name));
        let _pods = [one.pod("plain/a"), one.pod("plain/b"), two.pod("plain/c")].map(|pod| pod.start());
        start.elapsed()
    });
}

#[test]
fn nothing_of_a_lab_stays() {
    let lab = Lab::new();
    let node = lab.node("one");
    let pod = node.pod("plain/pod").start();
    let app = pod.serve(8080, App::Echo);
    let paths = [pod.netns().path(), node.netns().path(), lab.folder().to_owned()];
    assert!(paths.iter().all(|path| path.exists()));
    drop((app, pod, node, lab));
    assert_eq!(paths.iter().find(|path| path.exists()), None);
}

#[test]
fn udp_reaches_another_node() {
    let lab = Lab::new();
    let [one, two] = ["one", "two"].map(|name| lab.node(name));
    let [client, server] = [one.pod("plain/client"), two.pod("plain/server")].map(|pod| pod.start());
    let _app = server.serve_udp(5300);
    for family in Family::BOTH {
        let socket = client
            .run(|| UdpSocket::bind(client.addresses().at(family, 0)))
            .unwrap();
        socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        socket.send_to(b"hello", server.addresses().at(family, 5300)).unwrap();
        let mut answer = [0; 16];
        assert_eq!(socket.recv(&mut answer).unwrap(), 5);
    }
}

#[test]
fn a_black_hole_is_silent_and_a_closed_port_refuses() {
    let lab = Lab::new();
    let [one, two] = ["one", "two"].map(|name| lab.node(name));
    let [client, server] = [one.pod("plain/client"), two.pod("plain/server")].map(|pod| pod.start());
    let hole = two.black_hole();
    for family in Family::BOTH {
        let silent = client
            .dial(hole.at(family, 80))
            .timeout(Duration::from_millis(300))
            .connect();
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let refused = client.connect(server.addresses().at(family, 81));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn each_application_does_what_it_says() {
    let lab = Lab::new();
    let node = lab.node("one");
    let [client, server] = ["plain/client", "plain/server"].map(|name| node.pod(name).start());
    let with = |app| {
        let running = server.serve(0, app);
        let to = server.addresses().at(Family::V4, running.address().port());
        (client.connect(to).unwrap(), running)
    };

    let (stream, _app) = with(App::Banner);
    assert_eq!(Talk::line(&stream).unwrap(), "server");
    assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");

    let (stream, _app) = with(App::Who);
    assert_eq!(
        Talk::hear(&stream).unwrap(),
        format!("server {}\n", stream.local_addr().unwrap())
    );

    let (stream, _app) = with(App::Sink);
    Talk::send_pattern(&stream, 100_000).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(Talk::hear(&stream).unwrap(), "100000\n");

    let (stream, _app) = with(App::Source(200_000));
    assert_eq!(Talk::check_pattern(&stream).unwrap(), 200_000);

    let (stream, _app) = with(App::EndFirst);
    assert_eq!(Talk::hear(&stream).unwrap(), "");

    let (stream, _app) = with(App::CloseFirst);
    assert_eq!(Talk::ask(&stream, b"x").unwrap(), b"x");
    assert_eq!(Talk::hear(&stream).unwrap(), "");

    let (stream, _app) = with(App::Reset);
    assert_eq!(
        Talk::ask(&stream, b"x").unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );

    let (mut stream, _app) = with(App::Http);
    io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(Talk::line(&stream).unwrap(), "HTTP/1.1 200 OK\r");
}

#[test]
fn the_sniffer_tells_what_leaves_from_what_comes() {
    let lab = Lab::new();
    let node = lab.node("one");
    let [client, server] = ["plain/client", "plain/server"].map(|name| node.pod(name).start());
    let _app = server.serve(8080, App::Who);
    for family in Family::BOTH {
        let sniffer = Sniffer::start(client.netns(), "eth0");
        let to = server.addresses().at(family, 8080);
        let heard = Talk::hear(client.connect(to).unwrap()).unwrap();
        wait::until(wait::PATIENCE, "the answer on the wire", || {
            sniffer.count(|packet| packet.way == Way::In && packet.source == to && packet.payload == heard.len()) == 1
        });
        assert_eq!(
            sniffer.count(|packet| packet.is_syn() && packet.way == Way::Out && packet.destination == to),
            1
        );
        assert_eq!(sniffer.count(|packet| packet.is_syn() && packet.way == Way::In), 0);
    }
}

#[test]
fn every_lab_has_names_of_its_own() {
    let labs = [Lab::new(), Lab::new()];
    let nodes: HashSet<_> = labs.iter().map(|lab| lab.node("one").name().to_owned()).collect();
    assert_eq!(nodes.len(), 2);
    assert!(nodes.iter().all(|name| !Path::new("/run/netns").join(name).exists()));
}

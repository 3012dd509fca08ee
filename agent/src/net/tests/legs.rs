//! Legs to an application, with capture's routing.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use tokio::io::AsyncReadExt as _;

use super::{super::*, ip, namespace};

const MARK: Mark = Mark(0x1000_0000);
const TABLE: u32 = 0x7765;

/// A namespace with capture's routing, and an application in it.
struct Pod {
    netns: NetNs,
    application: SocketAddr,
    client: SocketAddr,
}

// === impl Pod ===

impl Pod {
    fn open(test: &str, family: Family) -> Option<Self> {
        let netns = namespace(test)?;
        let (own, options, client): (&str, &str, SocketAddr) = match family {
            Family::V4 => ("10.1.0.1", "", "10.9.9.9:40000".parse().unwrap()),
            Family::V6 => ("fd01::1", "nodad", "[fd09::9]:40000".parse().unwrap()),
        };
        ip(&netns, "link add eth0 type veth peer veth0");
        ip(&netns, &format!("addr add {own} dev eth0 {options}"));
        ip(&netns, "link set eth0 up");
        let rule = Rule {
            family,
            preference: 4100,
            mask: MARK.0,
            mark: MARK.0,
            packets: Packets::All,
            table: TABLE,
        };
        rule.add(&netns).unwrap();
        let own: std::net::IpAddr = own.parse().unwrap();
        let route = LocalDefault {
            family,
            device: own_addresses(&netns)
                .unwrap()
                .iter()
                .find(|address| address.ip == own)
                .unwrap()
                .device,
            source: own.is_ipv4().then_some(own),
            table: TABLE,
        };
        route.add(&netns).unwrap();
        for sysctl in ["ipv4/tcp_fwmark_accept", "ipv4/fwmark_reflect", "ipv6/fwmark_reflect"] {
            Sysctl::new(format!("net/{sysctl}")).write(&netns, "1").unwrap();
        }
        Some(Self {
            netns,
            application: (own, 8080).into(),
            client,
        })
    }

    fn listen(&self, port: u16) -> TcpListener {
        let any = match Family::of(self.application) {
            Family::V4 => "0.0.0.0",
            Family::V6 => "::",
        };
        self.netns.run(|| TcpListener::bind((any, port))).unwrap().unwrap()
    }

    fn leg(&self, ports: &SourcePorts) -> Leg {
        Leg::open(&self.netns, ports, self.client, self.application, MARK).unwrap()
    }
}

/// Serves so many connections, one at a time: a byte, then the end.
fn serve_and_close_first(listener: TcpListener, connections: usize) -> thread::JoinHandle<Vec<SocketAddr>> {
    thread::spawn(move || {
        (0..connections)
            .map(|_| {
                let (mut connection, client) = listener.accept().unwrap();
                connection.write_all(b"x").unwrap();
                client
            })
            .collect()
    })
}

async fn read_to_end(leg: Leg) -> io::Result<SourcePort> {
    let (mut connection, port) = leg.connect().await?;
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).await?;
    assert_eq!(bytes, b"x");
    Ok(port)
}

#[tokio::test]
async fn an_application_sees_the_clients_address() {
    for family in [Family::V4, Family::V6] {
        let Some(pod) = Pod::open("an_application_sees_the_clients_address", family) else {
            return;
        };
        let application = serve_and_close_first(pod.listen(8080), 1);

        let port = read_to_end(pod.leg(&SourcePorts::default())).await.unwrap();

        let seen = application.join().unwrap();
        assert_eq!(seen, [SocketAddr::new(pod.client.ip(), port.number())]);
    }
}

#[tokio::test]
async fn short_connections_beyond_the_number_of_ports_do_not_fail() {
    let Some(pod) = Pod::open("short_connections_beyond_the_number_of_ports_do_not_fail", Family::V4) else {
        return;
    };
    let ports = SourcePorts::default();
    let application = serve_and_close_first(pod.listen(8080), 30_000);

    for _ in 0..30_000 {
        read_to_end(pod.leg(&ports)).await.unwrap();
    }

    application.join().unwrap();
}

#[tokio::test]
async fn a_tuple_whose_time_wait_is_ours_is_used_again() {
    for family in [Family::V4, Family::V6] {
        let Some(pod) = Pod::open("a_tuple_whose_time_wait_is_ours_is_used_again", family) else {
            return;
        };
        let listener = pod.listen(8080);
        let source = SocketAddr::new(pod.client.ip(), 20_000);

        for _ in 0..3 {
            let ours = transparent(&pod.netns, source, MARK).unwrap();
            // In progress, and done when the call returns.
            let _ = ours.connect(&pod.application.into());
            let (theirs, _) = listener.accept().unwrap();
            drop(ours);
            drop(theirs);
            while !ip_time_wait(&pod.netns) {}
        }
    }
}

#[tokio::test]
async fn a_port_that_the_pod_listens_at_is_passed_over() {
    let Some(pod) = Pod::open("a_port_that_the_pod_listens_at_is_passed_over", Family::V4) else {
        return;
    };
    let _in_the_way = [8080, 10_000, 10_001].map(|port| pod.listen(port));

    let (_connection, port) = pod.leg(&SourcePorts::default()).connect().await.unwrap();
    assert_eq!(port.number(), 10_002);
}

#[tokio::test]
async fn a_leg_to_nobody_is_refused() {
    for family in [Family::V4, Family::V6] {
        let Some(pod) = Pod::open("a_leg_to_nobody_is_refused", family) else {
            return;
        };
        let refused = pod.leg(&SourcePorts::default()).connect().await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn a_leg_waits_for_an_application_whose_backlog_is_full() {
    let Some(pod) = Pod::open("a_leg_waits_for_an_application_whose_backlog_is_full", Family::V4) else {
        return;
    };
    let (listener, ports) = (pod.listen(8080), SourcePorts::default());
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let _queued = pod.leg(&ports).connect().await.unwrap();
    let waiting = tokio::spawn(pod.leg(&ports).connect());
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());

    let _accepted = listener.accept().unwrap();
    // The SYN that was dropped is sent again after a second.
    assert!(waiting.await.unwrap().is_ok());
}

fn ip_time_wait(netns: &NetNs) -> bool {
    netns
        .run(|| std::fs::read_to_string("/proc/thread-self/net/sockstat"))
        .unwrap()
        .unwrap()
        .contains("tw 1")
}

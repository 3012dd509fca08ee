//! Questions in a namespace of their own, whose route brings those for a resolver elsewhere to the agent's socket.

use std::net::{IpAddr, UdpSocket};

use hickory_proto::{
    op::{MessageType, OpCode},
    rr::{Name, RData, Record, RecordType},
};
use nix::sys::socket::{
    setsockopt,
    sockopt::{Ipv4OrigDstAddr, Ipv6OrigDstAddr},
};
use tokio::{sync::watch::Sender, task::JoinHandle, time::timeout};

use super::*;
use crate::{
    model::{
        Service,
        sample::{mk_mesh, mk_service},
    },
    net::{
        Family, LocalDefault, Packets, Rule, own_addresses,
        tests::{ip, namespace, wire},
    },
};

const OURS: u32 = 0x2000_0000;

/// A pod whose questions are served.
struct Pod {
    netns: NetNs,
    metrics: DnsMetrics,
    mesh: Sender<Arc<Mesh>>,
    serving: JoinHandle<Result<(), DnsError>>,
}

/// The addresses of one family.
struct Addresses {
    family: Family,
    /// How ip(8) is told the family.
    flag: &'static str,
    any: &'static str,
    /// The pod's own.
    own: &'static str,
    /// Nobody's in the namespace.
    resolver: &'static str,
    /// The resolver's true place: across a veth pair.
    network: [&'static str; 2],
}

const FAMILIES: [Addresses; 2] = [
    Addresses {
        family: Family::V4,
        flag: "-4",
        any: "0.0.0.0",
        own: "10.1.0.1",
        resolver: "10.1.0.53",
        network: ["10.1.0.1/24", "10.1.0.53/24"],
    },
    Addresses {
        family: Family::V6,
        flag: "-6",
        any: "::",
        own: "fd01::1",
        resolver: "fd01::53",
        network: ["fd01::1/64", "fd01::53/64"],
    },
];

// === impl Pod ===

impl Pod {
    /// Opens a pod next to a resolver's namespace.
    async fn open(test: &str, addresses: &Addresses) -> Option<(Self, NetNs)> {
        let netns = namespace(test)?;
        let elsewhere = namespace(test)?;
        wire(&netns, &elsewhere);
        for (netns, network) in [(&netns, addresses.network[0]), (&elsewhere, addresses.network[1])] {
            let nodad = if addresses.family == Family::V6 { "nodad" } else { "" };
            ip(netns, &format!("addr add {network} dev eth0 {nodad}"));
            ip(netns, "link set eth0 up");
        }
        // An IPv6 address counts as the namespace's own only some time after its link is up.
        let own = format!("local {} dev eth0", addresses.own);
        while !ip(&netns, &format!("{} route show table local", addresses.flag)).contains(&own) {}
        let rule = Rule {
            family: addresses.family,
            preference: 4101,
            mask: OURS,
            mark: 0,
            packets: Packets::UdpTo(53),
            table: 0x7765,
        };
        rule.add(&netns).unwrap();
        let own: IpAddr = addresses.own.parse().unwrap();
        let route = LocalDefault {
            family: addresses.family,
            device: own_addresses(&netns)
                .unwrap()
                .iter()
                .find(|address| address.ip == own)
                .unwrap()
                .device,
            source: own.is_ipv4().then_some(own),
            table: 0x7765,
        };
        route.add(&netns).unwrap();

        let (mesh, followed) = watch::channel(Arc::new(mk_mesh(
            vec![],
            vec![
                mk_service("web", &["10.96.0.1", "fd96::1"]),
                Service {
                    headless: false,
                    external_name: Some("example.org".into()),
                    ..mk_service("out", &[])
                },
            ],
        )));
        let metrics = DnsMetrics::default();
        let door = Door {
            pod: ObjectName::new("default", "client"),
            netns: netns.clone(),
            sockets: vec![wildcard(&netns, addresses)],
            mark: Mark(OURS),
        };
        let serving = tokio::spawn(serve(door, followed, metrics.clone()));
        let pod = Self {
            netns,
            metrics,
            mesh,
            serving,
        };
        Some((pod, elsewhere))
    }

    fn socket(&self, addresses: &Addresses) -> tokio::net::UdpSocket {
        let socket = self.netns.run(|| UdpSocket::bind((addresses.own, 0))).unwrap().unwrap();
        socket.set_nonblocking(true).unwrap();
        tokio::net::UdpSocket::from_std(socket).unwrap()
    }

    /// Asks the resolver and tells what came, and in whose name.
    async fn ask(&self, addresses: &Addresses, question: &[u8]) -> (Vec<u8>, SocketAddr) {
        let socket = self.socket(addresses);
        socket.send_to(question, (addresses.resolver, 53)).await.unwrap();
        let mut reply = Vec::with_capacity(65_535);
        let (_, from) = timeout(Duration::from_secs(10), socket.recv_buf_from(&mut reply))
            .await
            .expect("no answer came")
            .unwrap();
        (reply, from)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// As the agent's own socket, but that no sk_lookup program is needed for it to be found.
fn wildcard(netns: &NetNs, addresses: &Addresses) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind((addresses.any, 53))).unwrap().unwrap();
    socket.set_nonblocking(true).unwrap();
    match addresses.family {
        Family::V4 => setsockopt(&socket, Ipv4OrigDstAddr, &true),
        Family::V6 => setsockopt(&socket, Ipv6OrigDstAddr, &true),
    }
    .unwrap();
    socket
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut request = Message::new(0x1234, MessageType::Query, OpCode::Query);
    request
        .queries
        .push(Query::query(Name::from_ascii(name).unwrap(), kind));
    request.to_vec().unwrap()
}

#[tokio::test]
async fn a_service_is_answered_in_the_resolvers_name() {
    for addresses in &FAMILIES {
        let Some((pod, _elsewhere)) = Pod::open("a_service_is_answered_in_the_resolvers_name", addresses).await else {
            return;
        };

        let (reply, from) = pod
            .ask(addresses, &question("web.default.svc.cluster.local.", RecordType::A))
            .await;

        let reply = Message::from_vec(&reply).unwrap();
        assert_eq!(from, SocketAddr::new(addresses.resolver.parse().unwrap(), 53));
        assert_eq!(reply.metadata.id, 0x1234);
        assert_eq!(reply.answers[0].data, RData::from(IpAddr::from([10, 96, 0, 1])));
        assert_eq!(pod.metrics.counted(DnsOutcome::Answered), 1);
    }
}

#[tokio::test]
async fn a_change_of_the_mesh_is_answered_at_once() {
    let addresses = &FAMILIES[0];
    let Some((pod, _elsewhere)) = Pod::open("a_change_of_the_mesh_is_answered_at_once", addresses).await else {
        return;
    };

    pod.mesh
        .send_replace(Arc::new(mk_mesh(vec![], vec![mk_service("web", &["10.96.0.9"])])));
    let (reply, _) = pod
        .ask(addresses, &question("web.default.svc.cluster.local.", RecordType::A))
        .await;

    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!(reply.answers[0].data, RData::from(IpAddr::from([10, 96, 0, 9])));
}

#[tokio::test]
async fn other_questions_reach_the_resolver_and_come_back_byte_for_byte() {
    for addresses in &FAMILIES {
        let Some((pod, elsewhere)) = Pod::open(
            "other_questions_reach_the_resolver_and_come_back_byte_for_byte",
            addresses,
        )
        .await
        else {
            return;
        };
        let resolver = elsewhere
            .run(|| UdpSocket::bind((addresses.resolver, 53)))
            .unwrap()
            .unwrap();
        let asked = question("example.org.", RecordType::TXT);
        let expected = asked.clone();
        let served = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, client) = resolver.recv_from(&mut buffer).unwrap();
            let mut reply = buffer[..length].to_vec();
            resolver.send_to(b"\0\0another id", client).unwrap();
            reply.extend_from_slice(b"whatever a resolver may say");
            resolver.send_to(&reply, client).unwrap();
            (buffer[..length].to_vec(), client.ip(), reply)
        });

        let (reply, from) = pod.ask(addresses, &asked).await;

        let (seen, client, sent) = served.join().unwrap();
        assert_eq!((seen, client), (expected, addresses.own.parse().unwrap()));
        assert_eq!(
            (reply, from),
            (sent, SocketAddr::new(addresses.resolver.parse().unwrap(), 53))
        );
        assert_eq!(pod.metrics.counted(DnsOutcome::Forwarded), 1);
    }
}

#[tokio::test]
async fn an_alias_that_leads_out_of_the_mesh_is_completed_by_the_resolver() {
    let addresses = &FAMILIES[0];
    let Some((pod, elsewhere)) = Pod::open(
        "an_alias_that_leads_out_of_the_mesh_is_completed_by_the_resolver",
        addresses,
    )
    .await
    else {
        return;
    };
    let resolver = elsewhere
        .run(|| UdpSocket::bind((addresses.resolver, 53)))
        .unwrap()
        .unwrap();
    let served = std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let (length, client) = resolver.recv_from(&mut buffer).unwrap();
        let mut reply = Message::from_vec(&buffer[..length]).unwrap();
        reply.metadata.message_type = MessageType::Response;
        let name = reply.queries[0].name.clone();
        reply
            .answers
            .push(Record::from_rdata(name, 60, IpAddr::from([192, 0, 2, 1]).into()));
        resolver.send_to(&reply.to_vec().unwrap(), client).unwrap();
    });

    let (reply, _) = pod
        .ask(addresses, &question("out.default.svc.cluster.local.", RecordType::A))
        .await;

    served.join().unwrap();
    let records: Vec<String> = Message::from_vec(&reply)
        .unwrap()
        .answers
        .iter()
        .map(|record| format!("{} {}", record.name, record.data))
        .collect();
    assert_eq!(
        records,
        ["out.default.svc.cluster.local. example.org.", "example.org. 192.0.2.1"]
    );
}

#[tokio::test]
async fn a_resolver_that_is_not_there_is_a_failure_at_once() {
    let addresses = &FAMILIES[0];
    let Some((pod, _elsewhere)) = Pod::open("a_resolver_that_is_not_there_is_a_failure_at_once", addresses).await
    else {
        return;
    };

    for (name, code) in [
        ("example.org.", ResponseCode::ServFail),
        ("nothing.default.svc.cluster.local.", ResponseCode::NXDomain),
    ] {
        let (reply, _) = pod.ask(addresses, &question(name, RecordType::A)).await;
        assert_eq!(Message::from_vec(&reply).unwrap().metadata.response_code, code);
    }
    assert_eq!(pod.metrics.counted(DnsOutcome::ResolverUnreachable), 2);
}

#[tokio::test]
async fn a_silent_resolver_holds_up_so_many_questions_and_no_more() {
    let addresses = &FAMILIES[0];
    let Some((pod, elsewhere)) = Pod::open("a_silent_resolver_holds_up_so_many_questions_and_no_more", addresses).await
    else {
        return;
    };
    let _silent = elsewhere
        .run(|| UdpSocket::bind((addresses.resolver, 53)))
        .unwrap()
        .unwrap();
    let socket = pod.socket(addresses);
    let other = question("example.org.", RecordType::A);

    for _ in 0..MOST_WAITING + 10 {
        socket.send_to(&other, (addresses.resolver, 53)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (reply, _) = pod
        .ask(addresses, &question("web.default.svc.cluster.local.", RecordType::A))
        .await;

    assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    assert_eq!(pod.metrics.counted(DnsOutcome::TooManyWaiting), 10);
}

#[tokio::test]
async fn what_is_no_question_is_counted_and_gets_no_answer() {
    let addresses = &FAMILIES[0];
    let Some((pod, _elsewhere)) = Pod::open("what_is_no_question_is_counted_and_gets_no_answer", addresses).await
    else {
        return;
    };
    let socket = pod.socket(addresses);

    for bytes in [&b"rubbish"[..], &[], &[0xff; 5000]] {
        socket.send_to(bytes, (addresses.resolver, 53)).await.unwrap();
    }
    let web = question("web.default.svc.cluster.local.", RecordType::A);
    socket.send_to(&web, (addresses.resolver, 53)).await.unwrap();
    let mut first = [0; 512];
    let (length, _) = socket.recv_from(&mut first).await.unwrap();

    assert_eq!(Message::from_vec(&first[..length]).unwrap().answers.len(), 1);
    assert_eq!(pod.metrics.counted(DnsOutcome::Malformed), 3);
}

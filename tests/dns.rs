//! DNS of enrolled pods: names of services are answered by the agent, all others by whom the pod asked.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use harness::{Addresses, App, Family, Object, Pod, wait};

use crate::mesh::Single;

mod message;

use message::{Answer, Kind};

const SERVICE: Addresses = Addresses::service(10);

/// Where pods send their questions; nobody serves it unless the test does.
const RESOLVER: Addresses = Addresses::service(53);

#[test]
fn the_name_of_a_service_is_answered_from_the_address_that_was_asked() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    for family in Family::BOTH {
        let to = RESOLVER.at(family, 53);
        for (kind, address) in [(Kind::A, SERVICE.of(Family::V4)), (Kind::Aaaa, SERVICE.of(Family::V6))] {
            let answer = ask_until(&pod, to, "web.mesh.svc.cluster.local", kind);
            assert_eq!(answer.addresses, [address]);
        }
    }
}

#[test]
fn a_headless_service_is_answered_with_its_endpoints() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let servers = ["a", "b"].map(|name| mesh.node.pod(&format!("plain/{name}")).label("app", "web").start());
    mesh.apply(&Object::headless("plain/web", "web").port("main", 80, 8080));
    let mut expected: Vec<IpAddr> = servers.iter().map(|server| server.addresses().v4.into()).collect();
    expected.sort();
    let to = RESOLVER.at(Family::V4, 53);
    wait::until(wait::PATIENCE, "both endpoints", || {
        let mut addresses = ask(&pod, to, "web.plain.svc.cluster.local", Kind::A)
            .map(|answer| answer.addresses)
            .unwrap_or_default();
        addresses.sort();
        addresses == expected
    });
}

#[test]
fn a_service_that_is_not_there_has_no_name() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    // The resolver's node is there, and nobody listens on it.
    mesh.node
        .netns()
        .ip(&format!("address add {}/32 dev cni0\n", RESOLVER.v4));
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    ask_until(&pod, RESOLVER.at(Family::V4, 53), "web.mesh.svc.cluster.local", Kind::A);
    // Which its kernel says once in a while only (icmp_ratelimit).
    let answer = wait::until_some(wait::PATIENCE, "an answer", || {
        ask(
            &pod,
            RESOLVER.at(Family::V4, 53),
            "nothing.mesh.svc.cluster.local",
            Kind::A,
        )
    });
    assert_eq!((answer.code, answer.addresses.len()), (message::NO_SUCH_NAME, 0));
}

#[test]
fn a_name_that_is_not_the_meshs_is_forwarded_to_whom_the_pod_asked() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    mesh.node.netns().ip(&format!(
        "address add {}/32 dev cni0\naddress add {}/128 dev cni0 nodad\n",
        RESOLVER.v4, RESOLVER.v6
    ));
    for family in Family::BOTH {
        let resolver = mesh.node.serve_udp(RESOLVER.at(family, 53));
        // The resolver is an echo: the question comes back as it left.
        let answer = ask_until(&pod, RESOLVER.at(family, 53), "example.org", Kind::A);
        assert_eq!(answer.addresses.len(), 0);
        assert_eq!(
            resolver.peers().last().unwrap().ip(),
            pod.addresses().of(family),
            "asked from the pod's address"
        );
    }
}

#[test]
fn pods_outside_the_mesh_ask_their_resolver_themselves() {
    let mesh = Single::start();
    let (inside, outside) = (mesh.pod("mesh/inside"), mesh.plain("outside"));
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    let to = RESOLVER.at(Family::V4, 53);
    ask_until(&inside, to, "web.mesh.svc.cluster.local", Kind::A);
    assert!(ask(&outside, to, "web.mesh.svc.cluster.local", Kind::A).is_none());
}

#[test]
fn dns_switched_off_is_not_touched() {
    let mesh = Single::start_with(&["--dns", "off"]);
    let pod = mesh.pod("mesh/pod");
    mesh.node
        .netns()
        .ip(&format!("address add {}/32 dev cni0\n", RESOLVER.v4));
    let resolver = mesh.node.serve_udp(RESOLVER.at(Family::V4, 53));
    let socket = client(&pod, Family::V4);
    socket
        .send_to(
            &message::question("web.mesh.svc.cluster.local", Kind::A),
            RESOLVER.at(Family::V4, 53),
        )
        .unwrap();
    socket.recv(&mut [0; 512]).unwrap();
    let own = (pod.addresses().v4, socket.local_addr().unwrap().port()).into();
    assert_eq!(resolver.peers(), [own]);
}

#[test]
fn the_rule_for_dns_goes_when_the_agent_ends() {
    let mesh = Single::start();
    let (open, closed) = (mesh.pod("mesh/pod"), mesh.pod("closed/pod"));
    mesh.node
        .netns()
        .ip(&format!("address add {}/32 dev cni0\n", RESOLVER.v4));
    let _resolver = mesh.node.serve_udp(RESOLVER.at(Family::V4, 53));
    let (launch, _) = mesh.agent.terminate(wait::PATIENCE);
    for pod in [&open, &closed] {
        ask_until(pod, RESOLVER.at(Family::V4, 53), "example.org", Kind::A);
    }
    drop(launch);
}

#[test]
fn a_pods_questions_to_itself_are_its_own() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let resolver = pod.serve_udp(53);
    for to in [pod.addresses(), Addresses::LOOPBACK] {
        for family in Family::BOTH {
            let before = resolver.accepted();
            assert!(ask(&pod, to.at(family, 53), "web.mesh.svc.cluster.local", Kind::A).is_some());
            assert_eq!(resolver.accepted(), before + 1);
        }
    }
}

#[test]
fn a_name_and_the_service_behind_it_lead_to_an_endpoint() {
    let mesh = Single::start();
    let pod = mesh.pod("mesh/pod");
    let server = mesh.pod("mesh/web");
    let _app = server.serve(8080, App::Who);
    mesh.apply(&Object::service("mesh/web", SERVICE, "web").port("main", 80, 8080));
    let answer = ask_until(&pod, RESOLVER.at(Family::V4, 53), "web.mesh.svc.cluster.local", Kind::A);
    let heard = pod
        .connect((answer.addresses[0], 80).into())
        .and_then(harness::Talk::line)
        .unwrap();
    assert!(heard.starts_with("web "), "{heard}");
}

/// Asks until there is an answer that is no failure: the agent may not know the service yet.
fn ask_until(pod: &Pod, to: SocketAddr, name: &str, kind: Kind) -> Answer {
    wait::until_some(wait::PATIENCE, format!("{name} answered"), || {
        ask(pod, to, name, kind).filter(|answer| answer.code == 0)
    })
}

/// Asks once; the answer must come from the address that was asked.
fn ask(pod: &Pod, to: SocketAddr, name: &str, kind: Kind) -> Option<Answer> {
    let socket = client(pod, if to.is_ipv4() { Family::V4 } else { Family::V6 });
    socket.send_to(&message::question(name, kind), to).ok()?;
    let mut buffer = [0; 4096];
    let (length, from) = socket.recv_from(&mut buffer).ok()?;
    assert_eq!(from, to, "the answer comes from whom was asked");
    Some(Answer::parse(&buffer[..length]).expect("an answer can be parsed"))
}

fn client(pod: &Pod, family: Family) -> UdpSocket {
    let any = match family {
        Family::V4 => SocketAddr::from(([0; 4], 0)),
        Family::V6 => SocketAddr::from(([0u16; 8], 0)),
    };
    let socket = pod.run(|| UdpSocket::bind(any)).expect("a port is free");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout can be set");
    socket
}

//! What an address is: both sides of each rule.

use super::{
    super::{
        Enrolment, NotEnrolled, TrafficPolicy,
        sample::{NODE, mk_address, mk_endpoint, mk_ip, mk_mesh, mk_pod, mk_port, mk_service},
    },
    *,
};

/// What was resolved, in words.
fn resolved(mesh: &Mesh, address: &str, transport: Transport) -> String {
    let pod = |endpoint: &Endpoint| endpoint.pod.as_ref().map_or("-".into(), |(_, name)| name.to_string());
    match mesh.resolve(mk_address(address), transport) {
        Ok(Destination::Service {
            service,
            port,
            candidates,
        }) => {
            let addresses: Vec<String> = candidates.iter().map(|endpoint| endpoint.address.to_string()).collect();
            format!("{} {} {}", service.name, service.ports[port].port, addresses.join(","))
        }
        Ok(Destination::Pod(endpoint)) => format!("pod {}", pod(&endpoint)),
        Ok(Destination::Unknown) => "unknown".into(),
        Err(Unresolved::NoSuchPort(service)) => format!("no such port of {}", service.name),
    }
}

fn tcp(mesh: &Mesh, address: &str) -> String {
    resolved(mesh, address, Transport::Tcp)
}

fn dual_stack() -> Service {
    Service {
        external_ips: vec![mk_ip("192.0.2.1")],
        ports: vec![
            mk_port(80, vec![mk_endpoint("10.0.0.1:8080"), mk_endpoint("[fd00::1]:8080")]),
            ServicePort {
                transport: Transport::Udp,
                ..mk_port(53, vec![])
            },
        ],
        ..mk_service("web", &["10.96.0.1", "fd96::1"])
    }
}

#[test]
fn a_service_address_is_its_port_with_the_endpoints_of_that_family() {
    let mesh = mk_mesh(vec![], vec![dual_stack()]);
    assert_eq!(tcp(&mesh, "10.96.0.1:80"), "default/web 80 10.0.0.1:8080");
    assert_eq!(tcp(&mesh, "[fd96::1]:80"), "default/web 80 [fd00::1]:8080");
    assert_eq!(tcp(&mesh, "[::ffff:10.96.0.1]:80"), "default/web 80 10.0.0.1:8080");
    assert_eq!(tcp(&mesh, "192.0.2.1:80"), "default/web 80 10.0.0.1:8080");
}

#[test]
fn a_port_that_a_cluster_ip_has_not_is_refused() {
    let mesh = mk_mesh(vec![], vec![dual_stack()]);
    assert_eq!(tcp(&mesh, "10.96.0.1:81"), "no such port of default/web");
    assert_eq!(tcp(&mesh, "10.96.0.1:53"), "no such port of default/web");
    assert_eq!(resolved(&mesh, "10.96.0.1:53", Transport::Udp), "default/web 53 ");
}

#[test]
fn other_ports_of_an_external_address_are_nobodys() {
    let mesh = mk_mesh(vec![], vec![dual_stack()]);
    assert_eq!(tcp(&mesh, "192.0.2.1:22"), "unknown");
}

#[test]
fn an_endpoints_address_is_that_pod_on_any_port() {
    let mesh = mk_mesh(
        vec![],
        vec![Service {
            cluster_ips: vec![],
            headless: true,
            ..dual_stack()
        }],
    );
    assert_eq!(tcp(&mesh, "10.0.0.1:8080"), "pod default/pod-10.0.0.1");
    assert_eq!(tcp(&mesh, "10.0.0.1:9"), "pod default/pod-10.0.0.1");
    assert_eq!(tcp(&mesh, "10.0.0.2:8080"), "unknown");
}

#[test]
fn a_pod_that_no_service_selects_is_known_by_its_address() {
    let mesh = mk_mesh(vec![mk_pod("lonely", "10.0.0.9")], vec![]);
    assert_eq!(tcp(&mesh, "10.0.0.9:5000"), "pod default/lonely");
    assert_eq!(
        mesh.pod_at(mk_ip("10.0.0.9")),
        mesh.pods.get(&PodUid::new("uid-lonely"))
    );
    assert_eq!(mesh.pod_at(mk_ip("10.0.0.8")), None);
}

#[test]
fn the_address_of_a_host_network_or_ended_pod_is_not_its_own() {
    for reason in [NotEnrolled::HostNetwork, NotEnrolled::Ended] {
        let pod = Pod {
            enrolment: Enrolment::Out(reason),
            ..mk_pod("other", "10.0.0.9")
        };
        let mesh = mk_mesh(vec![pod], vec![]);
        assert_eq!(tcp(&mesh, "10.0.0.9:22"), "unknown");
        assert_eq!(mesh.pod_at(mk_ip("10.0.0.9")), None);
    }
}

#[test]
fn pods_that_share_an_address_are_told_apart_by_their_ports() {
    let on_node = |address: &str, name: &str| Endpoint {
        pod: Some((PodUid::new(name), ObjectName::new("default", name))),
        ..mk_endpoint(address)
    };
    let ports = vec![
        mk_port(80, vec![on_node("10.0.0.1:80", "a")]),
        mk_port(81, vec![on_node("10.0.0.1:81", "b")]),
    ];
    let mesh = mk_mesh(
        vec![],
        vec![Service {
            ports,
            ..mk_service("hosts", &[])
        }],
    );
    assert_eq!(tcp(&mesh, "10.0.0.1:80"), "pod default/a");
    assert_eq!(tcp(&mesh, "10.0.0.1:81"), "pod default/b");
    assert_eq!(tcp(&mesh, "10.0.0.1:22"), "unknown");
}

#[test]
fn internal_policy_local_holds_for_cluster_ips_and_not_for_external_addresses() {
    let local = Endpoint {
        node: Some(NODE.into()),
        ..mk_endpoint("10.0.0.1:80")
    };
    let mesh = mk_mesh(
        vec![],
        vec![Service {
            external_ips: vec![mk_ip("192.0.2.1")],
            internal_traffic_policy: TrafficPolicy::Local,
            ports: vec![mk_port(80, vec![local, mk_endpoint("10.0.0.2:80")])],
            ..mk_service("web", &["10.96.0.1"])
        }],
    );
    assert_eq!(tcp(&mesh, "10.96.0.1:80"), "default/web 80 10.0.0.1:80");
    assert_eq!(tcp(&mesh, "192.0.2.1:80"), "default/web 80 10.0.0.1:80,10.0.0.2:80");
}

#[test]
fn of_two_services_with_one_address_the_first_by_name_has_it() {
    let services = vec![mk_service("b", &["10.96.0.1"]), mk_service("a", &["10.96.0.1"])];
    assert_eq!(tcp(&mk_mesh(vec![], services), "10.96.0.1:80"), "default/a 80 ");
}

#[test]
fn addresses_of_one_service_share_their_candidates() {
    let mesh = mk_mesh(vec![], vec![dual_stack()]);
    let candidates = |address| match mesh.resolve(mk_address(address), Transport::Tcp) {
        Ok(Destination::Service { candidates, .. }) => candidates.as_ptr(),
        other => panic!("{address} is {other:?}"),
    };
    assert_eq!(candidates("10.96.0.1:80"), candidates("192.0.2.1:80"));
}

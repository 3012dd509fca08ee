//! Where endpoints come from: both sides of each rule.

use super::{
    super::{
        convert::sample::{mk_pod, mk_service},
        objects::{Node, SlicePort},
    },
    *,
};
use crate::model::{
    self,
    sample::{NODE, mk_ip, mk_port},
};

fn mk_objects(pods: Vec<(&str, Pod)>) -> Objects {
    let pods = pods
        .into_iter()
        .map(|(name, pod)| (ObjectName::new("default", name), Arc::new(pod)));
    Objects {
        pods: pods.collect(),
        ..Objects::default()
    }
}

fn mk_slice(service: &str, port_name: &str, port: u16, ips: &[&str]) -> Arc<Slice> {
    let endpoint = |ip: &&str| SliceEndpoint {
        ip: mk_ip(ip),
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        hints: EndpointHints::default(),
        hostname: None,
        pod: None,
    };
    Arc::new(Slice {
        service: Some(ObjectName::new("default", service)),
        ports: vec![SlicePort {
            name: port_name.into(),
            transport: Transport::Tcp,
            port,
        }],
        endpoints: ips.iter().map(endpoint).collect(),
    })
}

/// The endpoints of the only port.
fn endpoints(objects: &Objects, service: &Service) -> Vec<Endpoint> {
    let mut ports = Backends::new(objects).ports(service);
    assert_eq!(ports.len(), 1);
    ports
        .remove(0)
        .endpoints
        .iter()
        .map(|endpoint| Endpoint::clone(endpoint))
        .collect()
}

fn addresses(objects: &Objects, service: &Service) -> Vec<String> {
    endpoints(objects, service)
        .iter()
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

fn web() -> Service {
    mk_service("web", &["10.96.0.1"])
}

fn dual_stack(pod: Pod) -> Pod {
    Pod {
        ips: vec![mk_ip("10.0.0.1"), mk_ip("fd00::1")],
        ..pod
    }
}

#[test]
fn pods_that_the_selector_matches_are_endpoints_and_others_are_not() {
    let objects = mk_objects(vec![
        ("web", mk_pod("web", "10.0.0.1")),
        ("api", mk_pod("api", "10.0.0.2")),
    ]);
    assert_eq!(addresses(&objects, &web()), ["10.0.0.1:80"]);
}

#[test]
fn pods_of_another_namespace_are_not_selected() {
    let pod = Arc::new(mk_pod("web", "10.0.0.1"));
    let objects = Objects {
        pods: BTreeMap::from([(ObjectName::new("other", "web"), pod)]),
        ..Objects::default()
    };
    assert_eq!(addresses(&objects, &web()), [""; 0]);
}

#[test]
fn a_service_without_selector_selects_nobody() {
    let objects = mk_objects(vec![("web", mk_pod("web", "10.0.0.1"))]);
    assert_eq!(
        addresses(
            &objects,
            &Service {
                selector: BTreeMap::new(),
                ..web()
            }
        ),
        [""; 0]
    );
}

#[test]
fn slices_of_the_service_go_before_its_selector() {
    let mut objects = mk_objects(vec![("web", mk_pod("web", "10.0.0.1"))]);
    objects.slices.insert(
        ObjectName::new("default", "a"),
        mk_slice("web", "", 8080, &["10.0.0.7"]),
    );
    objects.slices.insert(
        ObjectName::new("default", "b"),
        mk_slice("web", "", 9090, &["10.0.0.6", "10.0.0.7"]),
    );
    assert_eq!(
        addresses(&objects, &web()),
        ["10.0.0.6:9090", "10.0.0.7:8080", "10.0.0.7:9090"]
    );
}

#[test]
fn ports_of_slices_are_matched_by_name() {
    let mut objects = mk_objects(vec![]);
    objects.slices.insert(
        ObjectName::new("default", "a"),
        mk_slice("web", "http", 8080, &["10.0.0.7"]),
    );
    assert_eq!(addresses(&objects, &web()), [""; 0]);
    let mut named = web();
    named.service.ports[0].name = "http".into();
    assert_eq!(addresses(&objects, &named), ["10.0.0.7:8080"]);
}

#[test]
fn a_named_target_means_what_each_pod_calls_so() {
    let port = |port, transport| ContainerPort {
        name: Some("http".into()),
        port,
        transport,
    };
    let a = Pod {
        ports: vec![port(8080, Transport::Tcp)],
        ..mk_pod("web", "10.0.0.1")
    };
    let b = Pod {
        ports: vec![port(53, Transport::Udp), port(9090, Transport::Tcp)],
        ..mk_pod("web", "10.0.0.2")
    };
    let without = mk_pod("web", "10.0.0.3");
    let objects = mk_objects(vec![("a", a), ("b", b), ("c", without)]);
    let service = Service {
        targets: vec![PortReference::Name("http".into())],
        ..web()
    };
    assert_eq!(addresses(&objects, &service), ["10.0.0.1:8080", "10.0.0.2:9090"]);
}

#[test]
fn endpoints_are_of_the_services_families_only() {
    let objects = mk_objects(vec![("web", dual_stack(mk_pod("web", "10.0.0.1")))]);
    assert_eq!(addresses(&objects, &web()), ["10.0.0.1:80", "[fd00::1]:80"]);
    assert_eq!(
        addresses(
            &objects,
            &Service {
                families: vec![Family::V6],
                ..web()
            }
        ),
        ["[fd00::1]:80"]
    );
}

#[test]
fn conditions_follow_the_pod() {
    let conditions = |pod: Pod, service: &Service| {
        let endpoint = endpoints(&mk_objects(vec![("web", pod)]), service).remove(0);
        (endpoint.ready, endpoint.serving, endpoint.terminating)
    };
    let pod = || mk_pod("web", "10.0.0.1");
    assert_eq!(conditions(pod(), &web()), (true, true, false));
    assert_eq!(conditions(Pod { ready: false, ..pod() }, &web()), (false, false, false));
    assert_eq!(
        conditions(
            Pod {
                terminating: true,
                ..pod()
            },
            &web()
        ),
        (false, true, true)
    );
    let mut published = web();
    published.service.publish_not_ready = true;
    assert_eq!(
        conditions(Pod { ready: false, ..pod() }, &published),
        (true, false, false)
    );
}

#[test]
fn ended_pods_are_no_endpoints() {
    let ended = Pod {
        obstacle: Some(NotEnrolled::Ended),
        ..mk_pod("web", "10.0.0.1")
    };
    assert_eq!(addresses(&mk_objects(vec![("web", ended)]), &web()), [""; 0]);
}

#[test]
fn traffic_distribution_gives_hints_of_zone_and_node() {
    let mut objects = mk_objects(vec![("web", mk_pod("web", "10.0.0.1"))]);
    objects.nodes.insert(
        NODE.into(),
        Arc::new(Node {
            zone: Some("zone-a".into()),
            pod_cidrs: vec![],
        }),
    );
    let hints = |distribution| {
        let service = web();
        let service = Service {
            service: model::Service {
                traffic_distribution: distribution,
                ..service.service.clone()
            },
            ..service
        };
        endpoints(&objects, &service).remove(0).hints
    };
    let zones = vec!["zone-a".into()];
    assert_eq!(hints(None), EndpointHints::default());
    assert_eq!(
        hints(Some(TrafficDistribution::SameZone)),
        EndpointHints {
            zones: zones.clone(),
            nodes: vec![]
        }
    );
    assert_eq!(
        hints(Some(TrafficDistribution::SameNode)),
        EndpointHints {
            zones,
            nodes: vec![NODE.into()]
        }
    );
}

#[test]
fn a_pod_has_a_name_of_its_own_where_its_subdomain_is_the_service() {
    let hostname = |subdomain: &str| {
        let pod = Pod {
            hostname: Some("web-0".into()),
            subdomain: Some(subdomain.into()),
            ..mk_pod("web", "10.0.0.1")
        };
        endpoints(&mk_objects(vec![("web", pod)]), &web()).remove(0).hostname
    };
    assert_eq!(hostname("web").as_deref(), Some("web-0"));
    assert_eq!(hostname("other"), None);
}

#[test]
fn a_headless_service_without_ports_keeps_its_addresses() {
    let objects = mk_objects(vec![("web", mk_pod("web", "10.0.0.1"))]);
    let portless = |headless| {
        let service = model::Service {
            ports: vec![],
            headless,
            ..web().service
        };
        Backends::new(&objects).ports(&Service {
            service,
            targets: vec![],
            ..web()
        })
    };
    let addresses = portless(true).remove(0);
    assert_eq!(
        addresses,
        ServicePort {
            endpoints: addresses.endpoints.clone(),
            ..mk_port(0, vec![])
        }
    );
    assert_eq!(addresses.endpoints[0].address.to_string(), "10.0.0.1:0");
    assert_eq!(portless(false), []);
}

//! Which rule decides, for whom.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use super::{
    sample::{mk_backend, mk_match, mk_parent, mk_route, mk_written_rule, rule_name},
    *,
};
use crate::model::{
    Contents, Destination, Family, Mesh, ObjectName, Service,
    sample::{mk_endpoint, mk_port, mk_service},
};

fn mk_web() -> Service {
    Service {
        ports: vec![mk_port(80, vec![mk_endpoint("10.0.0.1:8080")]), mk_port(81, Vec::new())],
        ..mk_service("web", &["10.96.0.1"])
    }
}

fn mk_mesh(services: Vec<Service>, routes: Vec<Route>) -> Mesh {
    Mesh::new(Contents {
        services: services.into_iter().map(Arc::new).collect(),
        routes: routes.into_iter().map(Arc::new).collect(),
        ..Contents::default()
    })
}

fn web() -> ObjectName {
    ObjectName::new("default", "web")
}

fn with_rules(name: &str, rules: Vec<(&str, Vec<Match>)>) -> Route {
    Route {
        rules: rules
            .into_iter()
            .map(|(name, matches)| mk_written_rule(name, matches))
            .collect(),
        ..mk_route(name)
    }
}

fn everything(name: &str) -> Route {
    with_rules(name, vec![(name, vec![Match::default()])])
}

/// The name of the rule that decides on a GET by a client of `default`.
fn decides(mesh: &Mesh, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    decides_for(mesh, "default", "GET", target, headers)
}

fn decides_for(mesh: &Mesh, clients: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let routes = mesh.routes(&web(), 80, clients).expect("there are routes");
    let method: Method = method.parse().unwrap();
    routes
        .choose(&method, &target.parse().unwrap(), &map)
        .map(|rule| rule_name(rule))
}

fn exact(path: &str) -> Match {
    mk_match(PathMatch::Exact(path.into()))
}

fn prefix(path: &str) -> Match {
    mk_match(PathMatch::Prefix(path.into()))
}

fn with_header(matched: Match, name: &str, value: &str) -> Match {
    let mut matched = matched;
    let header = (Name::new(name).unwrap(), TextMatch::Exact(value.into()));
    matched.conditions.headers.push(header);
    matched
}

#[test]
fn paths_are_matched_by_elements_and_the_longest_wins() {
    let rules = vec![
        ("root", vec![prefix("/")]),
        ("v2", vec![prefix("/v2")]),
        ("deep", vec![prefix("/v2/example/")]),
        ("exact", vec![exact("/v2")]),
        (
            "pattern",
            vec![mk_match(PathMatch::Pattern(Pattern::new("/v[0-9]+/x").unwrap()))],
        ),
    ];
    let mesh = mk_mesh(vec![mk_web()], vec![with_rules("route", rules)]);
    for (target, expected) in [
        ("/", "root"),
        ("/v2", "exact"),
        ("/v2/", "v2"),
        ("/v2/x", "pattern"),
        ("/v2/x/y", "v2"),
        ("/v2example", "root"),
        ("/v2/example", "deep"),
        ("/v2/example/y?z", "deep"),
        ("/v2/examples", "v2"),
        ("http://web/v2/example", "deep"),
    ] {
        assert_eq!(decides(&mesh, target, &[]).as_deref(), Some(expected), "{target}");
    }
}

#[test]
fn nothing_matching_is_no_rule_and_a_service_without_routes_has_none() {
    let mesh = mk_mesh(
        vec![mk_web()],
        vec![with_rules("route", vec![("v2", vec![prefix("/v2")])])],
    );
    assert_eq!(decides(&mesh, "/", &[]), None);
    assert!(
        mesh.routes(&ObjectName::new("default", "other"), 80, "default")
            .is_none()
    );
    assert!(mesh.routes(&web(), 82, "default").is_none());
}

#[test]
fn among_one_path_the_more_specific_rule_wins() {
    let mut with_method = prefix("/");
    with_method.conditions.method = Some("GET".into());
    let mut with_parameter = prefix("/");
    with_parameter.conditions.parameters.push(ParameterMatch {
        name: "a".into(),
        value: TextMatch::Exact("1".into()),
    });
    let two = with_header(with_header(prefix("/"), "x", "1"), "y", "1");
    let rules = vec![
        ("none", vec![prefix("/")]),
        ("parameter", vec![with_parameter]),
        ("one", vec![with_header(prefix("/"), "x", "1")]),
        ("two", vec![two]),
        ("method", vec![with_method]),
    ];
    let mesh = mk_mesh(vec![mk_web()], vec![with_rules("route", rules)]);
    let both = [("x", "1"), ("y", "1")];
    let post = |target, headers| decides_for(&mesh, "default", "POST", target, headers);
    assert_eq!(decides(&mesh, "/?a=1", &both).as_deref(), Some("method"));
    assert_eq!(post("/?a=1", &both).as_deref(), Some("two"));
    assert_eq!(post("/?a=1", &both[..1]).as_deref(), Some("one"));
    assert_eq!(post("/?a=1", &both[1..]).as_deref(), Some("parameter"));
    assert_eq!(post("/", &both[1..]).as_deref(), Some("none"));
}

#[test]
fn among_equal_rules_the_older_route_wins_then_the_first_by_name_then_the_first_rule() {
    let aged = |name, created| Route {
        created,
        ..everything(name)
    };
    let decided = |routes| decides(&mk_mesh(vec![mk_web()], routes), "/", &[]).unwrap();
    assert_eq!(decided(vec![aged("a", Some(2)), aged("b", Some(1))]), "b");
    assert_eq!(decided(vec![aged("b", Some(1)), aged("a", Some(1))]), "a");
    assert_eq!(decided(vec![aged("a", None), aged("b", Some(1))]), "b");
    let twice = vec![("first", vec![prefix("/")]), ("second", vec![prefix("/")])];
    assert_eq!(decided(vec![with_rules("a", twice)]), "first");
}

#[test]
fn a_rule_by_header_is_found_among_a_thousand() {
    let names: Vec<String> = (0..1000).map(|index| index.to_string()).collect();
    let rules = names
        .iter()
        .map(|name| (name.as_str(), vec![with_header(prefix("/"), "user", name)]))
        .chain([("rest", vec![prefix("/")])]);
    let mesh = mk_mesh(vec![mk_web()], vec![with_rules("route", rules.collect())]);
    assert_eq!(decides(&mesh, "/", &[("user", "777")]).as_deref(), Some("777"));
    assert_eq!(decides(&mesh, "/", &[("user", "1000")]).as_deref(), Some("rest"));
}

#[test]
fn consumers_routes_replace_the_producers_for_their_own_namespace_only() {
    let mut consumer = everything("consumer");
    consumer.id.name = ObjectName::new("clients", "consumer");
    let mesh = mk_mesh(vec![mk_web()], vec![everything("producer"), consumer.clone()]);
    let by = |clients: &str| decides_for(&mesh, clients, "GET", "/", &[]).unwrap();
    assert_eq!(
        [by("default"), by("others"), by("clients")],
        ["producer", "producer", "consumer"]
    );
    let alone = mk_mesh(vec![mk_web()], vec![consumer]);
    assert!(alone.routes(&web(), 80, "default").is_none());
    assert!(alone.routes(&web(), 80, "clients").is_some());
}

#[test]
fn a_route_may_be_for_one_port() {
    let for_port = |port, section: Option<&str>| {
        let parent = Parent {
            port,
            section: section.map(Into::into),
            ..mk_parent("default", "web")
        };
        let route = Route {
            parents: vec![parent],
            ..everything("route")
        };
        let mut service = mk_web();
        service.ports[1].name = "other".into();
        let mesh = mk_mesh(vec![service], vec![route]);
        [80, 81].map(|port| mesh.routes(&web(), port, "default").is_some())
    };
    assert_eq!(for_port(None, None), [true, true]);
    assert_eq!(for_port(Some(81), None), [false, true]);
    assert_eq!(for_port(None, Some("other")), [false, true]);
    assert_eq!(for_port(Some(80), Some("other")), [false, false]);
}

#[test]
fn of_two_kinds_for_one_port_one_holds_and_the_other_is_told() {
    let mut grpc = everything("grpc");
    grpc.id.kind = RouteKind::GrpcRoute;
    grpc.created = Some(2);
    grpc.parents[0].port = Some(80);
    let mut http = everything("http");
    http.created = Some(1);
    let mut only_there = everything("only-there");
    only_there.parents[0].port = Some(80);
    let routes: Vec<Arc<Route>> = [&grpc, &http, &only_there].map(|route| Arc::new(route.clone())).into();
    let service = mk_web();
    let bindings = Bindings::new(&routes, |name| (*name == service.name).then_some(&service));
    let told = |route: &Route| bindings.unbound(&route.id, &route.parents[0]).cloned();
    assert_eq!(told(&grpc), None);
    assert_eq!(told(&http), None, "it holds for the other port");
    assert_eq!(told(&only_there), Some(Unbound::Conflicted(grpc.id.clone())));
    let mesh = mk_mesh(vec![mk_web()], vec![grpc, http]);
    let kind = |port| mesh.routes(&web(), port, "default").unwrap().kind();
    assert_eq!([kind(80), kind(81)], [RouteKind::GrpcRoute, RouteKind::HttpRoute]);
}

#[test]
fn parents_that_are_no_frontends_are_told() {
    let told = |service: Option<&Service>| {
        let route = Arc::new(everything("route"));
        let bindings = Bindings::new(&[Arc::clone(&route)], |_| service);
        bindings.unbound(&route.id, &route.parents[0]).map(ToString::to_string)
    };
    assert_eq!(told(Some(&mk_web())), None);
    assert_eq!(told(None).as_deref(), Some("there is no Service default/web"));
    assert_eq!(
        told(Some(&mk_service("web", &[]))).as_deref(),
        Some("Service default/web has no cluster IP by which its traffic could be told")
    );
}

#[test]
fn backends_get_their_weight_and_those_that_are_missing_keep_theirs() {
    let mut route = everything("route");
    route.rules[0].backends = vec![
        mk_backend("web", 80, 7),
        mk_backend("gone", 80, 2),
        mk_backend("web", 99, 1),
        mk_backend("web", 81, 0),
    ];
    let mesh = mk_mesh(vec![mk_web()], vec![route]);
    let routes = mesh.routes(&web(), 80, "default").unwrap();
    let rule = routes.rules()[0];
    let picked = |expected: &str| {
        let told = |backend: &Backend| match backend {
            Backend::Resolved(resolved) => format!("{}:{}", resolved.service, resolved.port),
            Backend::Unresolved(reason) => reason.to_string(),
        };
        (0..100).filter(|random| told(rule.pick(*random)) == expected).count()
    };
    assert_eq!(picked("default/web:80"), 70);
    assert_eq!(picked("there is no Service default/gone"), 20);
    assert_eq!(picked("Service default/web has no TCP port 99"), 10);
}

#[test]
fn without_a_weight_requests_go_nowhere() {
    let mut route = everything("route");
    route.rules[0].backends = vec![mk_backend("web", 80, 0)];
    let mesh = mk_mesh(vec![mk_web()], vec![route]);
    let routes = mesh.routes(&web(), 80, "default").unwrap();
    assert_eq!(routes.rules()[0].pick(5), &Backend::Unresolved(UnresolvedBackend::None));
}

#[test]
fn the_endpoints_of_a_backend_are_found_by_its_name() {
    let mesh = mk_mesh(vec![mk_web()], vec![everything("route")]);
    let Some(Destination::Service { candidates, .. }) = mesh.backend(&web(), 80, Family::V4) else {
        panic!("a rule names it");
    };
    assert_eq!(candidates.len(), 1);
    assert!(mesh.backend(&web(), 81, Family::V4).is_none(), "no rule names it");
}

#[test]
fn streams_are_told_apart_by_their_server_names() {
    let of_kind = |kind, names: &[&str]| {
        let mut route = everything("route");
        route.id.kind = kind;
        route.server_names = names.iter().map(|name| (*name).into()).collect();
        route.rules[0].matches.clear();
        mk_mesh(vec![mk_web()], vec![route])
    };
    let choice = |mesh: &Mesh, name| {
        let routes = mesh.routes(&web(), 80, "default").unwrap();
        match routes.choose_stream(name) {
            StreamChoice::Rule { rule, name: _ } => rule_name(rule),
            StreamChoice::Refused => "refused".into(),
            StreamChoice::Unconcerned => "unconcerned".into(),
        }
    };
    let tls = of_kind(RouteKind::TlsRoute, &["*.example"]);
    assert_eq!(choice(&tls, Some("a.example")), "route");
    assert_eq!(choice(&tls, Some("example")), "refused");
    assert_eq!(choice(&of_kind(RouteKind::TcpRoute, &[]), None), "route");
    let http = mk_mesh(vec![mk_web()], vec![everything("route")]);
    assert_eq!(choice(&http, None), "unconcerned");
}

#[test]
fn tables_stay_while_neither_routes_nor_ports_change() {
    let mesh = mk_mesh(vec![mk_web()], vec![everything("route")]);
    let table = |mesh: &Mesh| Arc::clone(mesh.routes(&web(), 80, "default").unwrap());
    let mut contents = mesh.contents();
    let mut service = mk_web();
    service.ports[0] = mk_port(80, Vec::new());
    contents.services = vec![Arc::new(service)];
    let without_endpoints = mesh.changed(contents.clone()).expect("it differs");
    assert!(Arc::ptr_eq(&table(&mesh), &table(&without_endpoints)));
    contents.services = vec![Arc::new(mk_service("web", &["10.96.0.1"]))];
    let with_fewer_ports = without_endpoints.changed(contents).expect("it differs");
    assert!(!Arc::ptr_eq(&table(&mesh), &table(&with_fewer_ports)));
    let mut contents = mesh.contents();
    contents.routes.clear();
    assert!(
        mesh.changed(contents)
            .expect("it differs")
            .routes(&web(), 80, "default")
            .is_none()
    );
}

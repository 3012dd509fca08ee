//! Of what routes show of themselves.

use http::{HeaderMap, Method};

use super::*;
use crate::model::{
    AppProtocol, Contents, Mirror, Route, RouteKind, WrittenRule,
    route::sample::{mk_backend, mk_match, mk_route, mk_written_rule},
    sample::{mk_pod, mk_service},
};

fn mk_mesh(routes: Vec<Route>) -> Mesh {
    Mesh::new(Contents {
        pods: vec![mk_pod("front", "10.0.0.1").into()],
        services: vec![mk_service("web", &["10.96.0.1"]).into()],
        routes: routes.into_iter().map(Into::into).collect(),
        ..Contents::default()
    })
}

fn told(mesh: &Mesh, from: &str, url: &str) -> Result<String, Unaskable> {
    let opening = Opening::Request {
        method: Method::GET,
        headers: HeaderMap::new(),
    };
    told_of(mesh, from, url, opening)
}

fn told_of(mesh: &Mesh, from: &str, url: &str, opening: Opening) -> Result<String, Unaskable> {
    let question = RouteQuestion {
        from: from.to_owned(),
        to: url.parse().unwrap(),
        opening,
    };
    mesh.test_route(&question).map(|verdict| verdict.to_string())
}

#[test]
fn it_is_said_which_rule_decides_and_why() {
    let matched = mk_match(PathMatch::Prefix("/v2".into()));
    let route = Route {
        rules: vec![mk_written_rule("new", vec![matched])],
        ..mk_route("route")
    };
    let mesh = mk_mesh(vec![route]);
    assert_eq!(
        told(&mesh, "front", "http://web/v2/x").unwrap(),
        "default/web:80: the first rule that fits, the most specific first\n  route: HTTPRoute default/route\n  \
         rule: new\n  match: path below /v2\n  backend: default/web:80 weight 1"
    );
    for url in [
        "http://web.default/",
        "http://10.96.0.1/",
        "http://web.default.svc.cluster.local/",
    ] {
        let expected = "default/web:80: no rule fits of HTTPRoute default/route\n  status: 404";
        assert_eq!(told(&mesh, "default/front", url).unwrap(), expected, "{url}");
    }
    assert_eq!(mesh.route_views().len(), 1);
}

#[test]
fn copies_and_retries_are_told() {
    let mut rule = mk_written_rule("copied", Vec::new());
    rule.matches = vec![Match::default()];
    rule.retry = Some(Retry {
        statuses: vec![502, 503],
        attempts: 2,
        backoff: Some(std::time::Duration::from_millis(50)),
    });
    rule.filters.mirrors = [("web", 80), ("wbe", 80)]
        .map(|(service, port)| Mirror {
            target: mk_backend(service, port, 1).target,
            share: Share {
                numerator: 1,
                denominator: 4,
            },
        })
        .into();
    let mesh = mk_mesh(vec![Route {
        rules: vec![rule],
        ..mk_route("route")
    }]);
    let text = told(&mesh, "front", "http://web/").unwrap();
    assert!(
        text.ends_with(
            "\n  retry: 2 times at most, after connections that fail, 502, 503; 50ms or more between two\n  \
             backend: default/web:80 weight 1\n  mirror: default/web:80, 1 of 4"
        ),
        "one that is not there gets nothing: {text}"
    );
    assert_eq!(mesh.route_views()[0].mirrors, ["default/web:80, 1 of 4"]);
}

#[test]
fn a_route_for_connections_answers_nothing_by_itself() {
    let of_kind = |backends| {
        let mut route = mk_route("route");
        route.id.kind = RouteKind::TcpRoute;
        route.rules = vec![WrittenRule {
            backends,
            ..mk_written_rule("all", Vec::new())
        }];
        told(&mk_mesh(vec![route]), "front", "http://web/").unwrap()
    };
    assert_eq!(
        of_kind(vec![mk_backend("web", 80, 1), mk_backend("wbe", 80, 2)]),
        "default/web:80: the rule decides on connections, whatever they carry\n  route: TCPRoute default/route\n  \
         rule: all\n  backend: default/web:80 weight 1\n  \
         backend: refused (there is no Service default/wbe) weight 2"
    );
    assert_eq!(
        of_kind(Vec::new()),
        "default/web:80: connections are refused: none of the rule's backends can be used\n  \
         route: TCPRoute default/route\n  rule: all\n  \
         backend: refused (no backend of the rule has a weight) weight 1"
    );
}

#[test]
fn of_a_route_by_server_names_it_is_said_that_they_decide() {
    let mut route = mk_route("route");
    route.id.kind = RouteKind::TlsRoute;
    route.server_names = vec!["a.example".into()];
    route.rules = vec![mk_written_rule("all", Vec::new())];
    assert_eq!(
        told(&mk_mesh(vec![route]), "front", "https://web:80/").unwrap(),
        "default/web:80: the server name of a TLS client decides, by TLSRoute default/route\n  \
         backend: default/web:80 weight 1"
    );
}

#[test]
fn of_a_connection_with_a_server_name_it_is_said_which_rule_decides() {
    let of_names = |name: &str, names: &[&str]| {
        let mut route = mk_route(name);
        route.id.kind = RouteKind::TlsRoute;
        route.server_names = names.iter().map(|name| (*name).into()).collect();
        route.rules = vec![mk_written_rule(name, Vec::new())];
        route
    };
    let mesh = mk_mesh(vec![
        of_names("own", &["a.example"]),
        of_names("below", &["*.b.example", "*.Example"]),
    ]);
    let asked = |name: &str| told_of(&mesh, "front", "https://web:80", Opening::Tls(name.to_owned()));
    let by = |route: &str, name: &str| {
        format!(
            "default/web:80: the server name decides, the longest that fits\n  route: TLSRoute default/{route}\n  \
             rule: {route}\n  match: server name {name}\n  backend: default/web:80 weight 1"
        )
    };
    for (name, route, written) in [
        ("A.example", "own", "a.example"),
        ("x.b.example", "below", "*.b.example"),
        ("c.example", "below", "*.Example"),
    ] {
        assert_eq!(asked(name), Ok(by(route, written)), "{name}");
    }
    assert_eq!(
        asked("example"),
        Ok(
            "default/web:80: connections are refused: example is no name of TLSRoute default/below, TLSRoute \
            default/own"
                .to_owned()
        )
    );
    assert_eq!(asked("*.example"), Err(Unaskable::NoServerName("*.example".into())));
    let web = told_of(&mesh, "front", "https://web", Opening::Tls("a.example".to_owned())).unwrap();
    assert!(web.starts_with("default/web:443: no route decides there"), "{web}");
}

#[test]
fn routes_of_other_kinds_do_with_tls_what_they_do_with_it() {
    let asked = |kind, app_protocol| {
        let mut route = mk_route("route");
        route.id.kind = kind;
        route.rules = vec![WrittenRule {
            matches: vec![Match::default()],
            ..mk_written_rule("all", Vec::new())
        }];
        let mut contents = mk_mesh(vec![route]).contents();
        let mut web = mk_service("web", &["10.96.0.1"]);
        web.ports[0].app_protocol = app_protocol;
        contents.services = vec![web.into()];
        let tls = Opening::Tls("a.example".to_owned());
        told_of(&Mesh::new(contents), "front", "https://web:80", tls).unwrap()
    };
    assert_eq!(
        asked(RouteKind::TcpRoute, None),
        "default/web:80: the rule decides on connections, whatever they carry\n  route: TCPRoute default/route\n  \
         rule: all\n  backend: default/web:80 weight 1"
    );
    assert_eq!(
        asked(RouteKind::HttpRoute, None),
        "default/web:80: routes decide on requests there, which TLS hides: the Service's own endpoints serve\n  \
         backend: default/web:80"
    );
    assert_eq!(
        asked(RouteKind::HttpRoute, Some(AppProtocol::Http1)),
        "default/web:80: the port is declared as HTTP, and TLS is none\n  status: 400"
    );
}

#[test]
fn without_routes_the_service_serves_and_what_is_not_there_is_told() {
    let mesh = mk_mesh(Vec::new());
    assert_eq!(
        told(&mesh, "front", "http://web/").unwrap(),
        "default/web:80: no route decides there: the Service's own endpoints serve\n  backend: default/web:80"
    );
    assert_eq!(told(&mesh, "back", "http://web/"), Err(Unaskable::NoPod("back".into())));
    assert_eq!(
        told(&mesh, "front", "http://wbe/"),
        Err(Unaskable::NoService("wbe".into()))
    );
}

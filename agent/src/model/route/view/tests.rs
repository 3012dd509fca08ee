//! Of what routes show of themselves.

use super::*;
use crate::model::{
    Contents, Mirror, Route, WrittenRule,
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
    let verdict = mesh.test_route(from, &Method::GET, &url.parse().unwrap(), &HeaderMap::new());
    verdict.map(|verdict| verdict.to_string())
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

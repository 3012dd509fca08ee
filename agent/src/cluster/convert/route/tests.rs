//! Routes as manifests write them: what is taken, and what is refused.

use serde_json::{Value as Json, json};

use super::*;
use crate::{
    cluster::{
        decode::{Unknown, decode},
        objects::{Key, Kind, Object},
    },
    model::{BackendTarget, Match, PathChange, PathMatch, Pattern, Share},
};

/// Decodes a route `shop/route` of this spec; else tells what is wrong with it.
fn read(kind: Kind, spec: Json) -> Result<Route, Vec<String>> {
    let name = ObjectName::new("shop", "route");
    let object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.label(),
        "metadata": { "namespace": "shop", "name": "route", "creationTimestamp": "1970-01-01T00:01:40Z" },
        "spec": spec,
        "status": { "parents": [{ "unheard": "of" }] },
    });
    let mut findings = Findings::default();
    let decoded = decode(&Key { kind, name }, &object, Unknown::Passed, &mut findings);
    let told = findings.into_vec().into_iter();
    let told = told
        .map(|finding| format!("{}: {}", finding.field, finding.reason))
        .collect();
    match decoded {
        Some(Object::Route(route)) => Ok(Route::clone(&route)),
        Some(other) => panic!("{other:?}"),
        None => Err(told),
    }
}

fn http_rule(rule: Json) -> Result<WrittenRule, Vec<String>> {
    let mut route = read(Kind::HttpRoute, json!({ "parentRefs": [cart()], "rules": [rule] }))?;
    Ok(route.rules.remove(0))
}

fn cart() -> Json {
    json!({ "group": "", "kind": "Service", "name": "cart" })
}

fn refused(rule: Json) -> String {
    http_rule(rule).expect_err("it is refused").join("; ")
}

#[test]
fn services_are_parents_and_gateways_are_not_ours() {
    let parents = json!([
        { "name": "gateway" },
        { "group": "", "kind": "Service", "name": "cart", "port": 80 },
        { "group": "", "kind": "Service", "name": "web", "namespace": "front", "sectionName": "http" },
    ]);
    let route = read(Kind::HttpRoute, json!({ "parentRefs": parents })).unwrap();
    assert_eq!(route.created, Some(100));
    let told: Vec<_> = route
        .parents
        .iter()
        .map(|parent| {
            (
                parent.index,
                parent.service.to_string(),
                parent.port,
                parent.section.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "shop/cart".to_owned(), Some(80), None),
            (2, "front/web".to_owned(), None, Some("http"))
        ]
    );
}

#[test]
fn what_is_left_out_is_as_the_api_server_fills_it_in() {
    let route = read(Kind::HttpRoute, json!({ "parentRefs": [cart()] })).unwrap();
    assert_eq!(route.rules[0].matches, [Match::default()]);
    assert_eq!(route.rules[0].backends, []);
    let rule = http_rule(json!({ "backendRefs": [{ "name": "web", "port": 80 }] })).unwrap();
    assert_eq!(rule.backends[0].weight, 1);
    let target = BackendTarget::Service {
        service: ObjectName::new("shop", "web"),
        port: 80,
    };
    assert_eq!(rule.backends[0].target, target);
}

#[test]
fn every_filter_of_a_rule_is_read() {
    let rule = http_rule(json!({
        "name": "all",
        "matches": [{ "path": { "type": "PathPrefix", "value": "/old" } }],
        "filters": [
            { "type": "RequestHeaderModifier", "requestHeaderModifier": {
                "set": [{ "name": "X-A", "value": "1" }], "add": [{ "name": "X-B", "value": "2" }], "remove": ["X-C"] } },
            { "type": "ResponseHeaderModifier", "responseHeaderModifier": { "remove": ["X-D"] } },
            { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 80 }, "percent": 20 } },
            { "type": "RequestMirror", "requestMirror": {
                "backendRef": { "name": "m", "port": 81 }, "fraction": { "numerator": 1, "denominator": 8 } } },
            { "type": "URLRewrite", "urlRewrite": {
                "hostname": "a.example", "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new" } } },
            { "type": "CORS", "cors": { "allowOrigins": ["*"], "allowMethods": ["PUT"] } },
        ],
        "backendRefs": [{ "name": "cart", "port": 80, "weight": 3, "filters": [
            { "type": "RequestHeaderModifier", "requestHeaderModifier": { "add": [{ "name": "X-E", "value": "3" }] } },
        ] }],
        "timeouts": { "request": "10s", "backendRequest": "2s" },
        "retry": { "codes": [503], "attempts": 2, "backoff": "100ms" },
        "sessionPersistence": { "sessionName": "s", "type": "Header", "idleTimeout": "1m" },
    }))
    .unwrap();
    let filters = &rule.filters;
    assert_eq!(filters.request_headers.set.len() + filters.request_headers.add.len(), 2);
    assert_eq!(filters.response_headers.remove.len(), 1);
    let shares: Vec<Share> = filters.mirrors.iter().map(|mirror| mirror.share).collect();
    let share = |numerator, denominator| Share { numerator, denominator };
    assert_eq!(shares, [share(20, 100), share(1, 8)]);
    let change = PathChange::Prefix {
        matched: "/old".into(),
        with: "/new".into(),
    };
    assert_eq!(filters.rewrite.as_ref().unwrap().path, Some(change));
    assert!(filters.cors.is_some());
    assert_eq!(
        (
            rule.backends[0].weight,
            rule.backends[0].filters.request_headers.add.len()
        ),
        (3, 1)
    );
    assert_eq!(rule.timeouts.request.unwrap().as_secs(), 10);
    assert_eq!(rule.retry.unwrap().statuses, [503]);
    assert_eq!(rule.session.unwrap().name.as_deref(), Some("s"));
}

#[test]
fn a_redirect_says_where_and_has_no_backends() {
    let redirect = json!([{ "type": "RequestRedirect", "requestRedirect": { "scheme": "https", "statusCode": 308 } }]);
    let rule = http_rule(json!({ "filters": redirect })).unwrap();
    assert_eq!(rule.filters.redirect.unwrap().status, 308);
    assert_eq!(
        refused(json!({ "filters": redirect, "backendRefs": [{ "name": "web", "port": 80 }] })),
        "spec.rules[0].backendRefs: a rule that redirects sends nothing to backends"
    );
}

#[test]
fn a_field_that_is_not_known_makes_the_route_unused() {
    assert_eq!(
        refused(json!({ "backendRefs": [{ "name": "web", "port": 80, "wieght": 3 }] })),
        "spec.rules[0].backendRefs[0].wieght: unknown field"
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_place() {
    let filter = |filter: Json| json!({ "filters": [filter] });
    let matched = |matched: Json| json!({ "matches": [matched] });
    for (rule, expected) in [
        (
            filter(json!({ "type": "ExtensionRef" })),
            "spec.rules[0].filters[0].type: `ExtensionRef` is not a filter that is known here",
        ),
        (
            filter(json!({ "type": "URLRewrite" })),
            "spec.rules[0].filters[0]: what URLRewrite does is missing",
        ),
        (
            matched(json!({ "path": { "type": "RegularExpression", "value": "(" } })),
            "spec.rules[0].matches[0].path.value: not a regular expression",
        ),
        (
            matched(json!({ "path": { "value": "old" } })),
            "spec.rules[0].matches[0].path.value: `old` does not begin with a slash",
        ),
        (
            matched(json!({ "method": "FETCH" })),
            "spec.rules[0].matches[0].method: `FETCH` is not a method",
        ),
        (
            json!({ "timeouts": { "request": "1 day" } }),
            "spec.rules[0].timeouts.request: `1 day` is not a duration",
        ),
        (
            json!({ "backendRefs": [{ "name": "web" }] }),
            "spec.rules[0].backendRefs[0].port: missing",
        ),
        (json!({ "matches": 1 }), "spec.rules[0].matches: invalid type"),
    ] {
        let told = refused(rule);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn grpc_calls_are_requests_for_their_service_and_method() {
    for (method, expected) in [
        (
            json!({ "service": "s", "method": "m" }),
            PathMatch::Exact("/s/m".into()),
        ),
        (json!({ "service": "s" }), PathMatch::Prefix("/s".into())),
        (json!({ "method": "m" }), PathMatch::GrpcMethod("m".into())),
        (
            json!({ "type": "RegularExpression", "service": "a|b" }),
            PathMatch::Pattern(Pattern::new("/(?:a|b)/[^/]+").unwrap()),
        ),
    ] {
        let spec = json!({ "parentRefs": [cart()], "rules": [{ "matches": [{ "method": method }] }] });
        let route = read(Kind::GrpcRoute, spec).unwrap();
        assert_eq!(route.id.kind, RouteKind::GrpcRoute);
        assert_eq!(route.rules[0].matches[0].path, expected);
    }
}

#[test]
fn only_tls_routes_have_server_names() {
    let spec = json!({
        "parentRefs": [cart()],
        "hostnames": ["a.example"],
        "rules": [{ "backendRefs": [{ "name": "web", "port": 443 }] }],
    });
    let names = |kind| read(kind, spec.clone()).unwrap().server_names.len();
    assert_eq!([names(Kind::TlsRoute), names(Kind::HttpRoute)], [1, 0]);
    let tcp = json!({ "parentRefs": [cart()], "rules": [{ "backendRefs": [{ "name": "web", "port": 443 }] }] });
    assert_eq!(read(Kind::TcpRoute, tcp).unwrap().rules[0].matches, []);
}

#[test]
fn server_names_are_names_or_a_wildcard_above_one() {
    let spec = |hostnames: Json| {
        json!({
            "parentRefs": [cart()],
            "hostnames": hostnames,
            "rules": [{ "backendRefs": [{ "name": "web", "port": 443 }] }],
        })
    };
    let names = |hostnames| {
        read(Kind::TlsRoute, spec(hostnames))
            .map(|route| route.server_names.len())
            .ok()
    };
    assert_eq!(names(json!(["a.example", "*.example"])), Some(2));
    for wrong in [
        "*",
        "*example",
        "a.*.example",
        "*.",
        "10.0.0.1",
        "fd00::1",
        "A.example",
        "a.example.",
    ] {
        assert_eq!(names(json!(["a.example", wrong])), None, "{wrong}");
    }
    assert_eq!(names(json!([])), None);
}

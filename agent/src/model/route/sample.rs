//! Routes for tests, with defaults: a test writes out only what it is about.

use std::{sync::Arc, time::Duration};

use super::{
    BackendTarget, Conditions, Cors, Filters, Header, HeaderChanges, Match, Mirror, Name, Origin, ParameterMatch,
    Parent, PathChange, PathMatch, Pattern, Redirect, Retry, Rewrite, Route, RouteId, RouteKind, Rule, SessionLifetime,
    SessionPersistence, SessionToken, Share, TextMatch, Timeouts, WeightedBackend, WrittenRule,
};
use crate::model::ObjectName;

/// An HTTPRoute `default/<name>` for all ports of the Service `default/web`, without rules.
pub(crate) fn mk_route(name: &str) -> Route {
    Route {
        id: RouteId {
            kind: RouteKind::HttpRoute,
            name: ObjectName::new("default", name),
        },
        created: None,
        parents: vec![mk_parent("default", "web")],
        server_names: Vec::new(),
        rules: Vec::new(),
    }
}

/// A route in which each field has a value that is not its default.
pub(crate) fn mk_full_route() -> Route {
    let text = |text: &str| TextMatch::Exact(text.into());
    let header = |name| Header::new(name, "value").expect("a test's header is valid");
    let change = |name| HeaderChanges {
        set: vec![header(name)],
        add: vec![header("x-add")],
        remove: vec![Name::new("x-remove").expect("a test's name is valid")],
    };
    let filters = Filters {
        cors: Some(Cors {
            origins: vec![
                Origin::Any,
                Origin::new("https://a.example"),
                Origin::new("https://*.b.example"),
            ],
            credentials: true,
            methods: vec!["PUT".into()],
            headers: vec!["x-a".into()],
            exposed: vec!["x-b".into()],
            max_age: Duration::from_secs(5),
        }),
        redirect: Some(Redirect {
            scheme: Some("https".into()),
            host: Some("a.example".into()),
            port: Some(8443),
            path: Some(PathChange::Full("/new".into())),
            status: 308,
        }),
        request_headers: change("x-request"),
        response_headers: change("x-response"),
        rewrite: Some(Rewrite {
            host: Some("b.example".into()),
            path: Some(PathChange::Prefix {
                matched: "/old".into(),
                with: "/new".into(),
            }),
        }),
        mirrors: vec![Mirror {
            target: BackendTarget::OtherKind {
                kind: "example.com/Bucket".into(),
            },
            share: Share::ALL,
        }],
    };
    let conditions = Conditions {
        method: Some("GET".into()),
        headers: vec![(Name::new("x").expect("a test's name is valid"), text("y"))],
        parameters: vec![ParameterMatch {
            name: "z".into(),
            value: TextMatch::Pattern(Pattern::new("a+").expect("a test's pattern is valid")),
        }],
    };
    let paths = [
        PathMatch::Exact("/a".into()),
        PathMatch::default(),
        PathMatch::Pattern(Pattern::new("/b+").expect("a test's pattern is valid")),
        PathMatch::GrpcMethod("Get".into()),
    ];
    let matches = paths.map(|path| Match {
        path,
        conditions: conditions.clone(),
    });
    let rule = WrittenRule {
        backends: vec![WeightedBackend {
            filters: filters.clone(),
            ..mk_backend("web", 80, 1)
        }],
        filters,
        timeouts: Timeouts {
            request: Some(Duration::from_secs(2)),
            backend_request: Some(Duration::from_secs(1)),
        },
        retry: Some(Retry {
            statuses: vec![503],
            attempts: 3,
            backoff: Some(Duration::from_millis(100)),
        }),
        session: Some(SessionPersistence {
            name: Some("session".into()),
            token: SessionToken::Cookie(SessionLifetime::Permanent),
            absolute_timeout: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(10)),
        }),
        ..mk_written_rule("rule", matches.into())
    };
    Route {
        created: Some(100),
        parents: vec![Parent {
            port: Some(80),
            section: Some("http".into()),
            ..mk_parent("default", "web")
        }],
        server_names: vec!["a.example".into()],
        rules: vec![rule],
        ..mk_route("full")
    }
}

/// All ports of a Service.
pub(crate) fn mk_parent(namespace: &str, service: &str) -> Parent {
    Parent {
        index: 0,
        service: ObjectName::new(namespace, service),
        port: None,
        section: None,
    }
}

/// A rule for these matches that sends all to port 80 of the Service `default/web`.
pub(crate) fn mk_written_rule(name: &str, matches: Vec<Match>) -> WrittenRule {
    WrittenRule {
        name: Some(name.into()),
        matches,
        filters: Filters::default(),
        backends: vec![mk_backend("web", 80, 1)],
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    }
}

/// A port of a Service of the namespace `default`.
pub(crate) fn mk_backend(service: &str, port: u16, weight: u32) -> WeightedBackend {
    WeightedBackend {
        target: BackendTarget::Service {
            service: ObjectName::new("default", service),
            port,
        },
        weight,
        filters: Filters::default(),
    }
}

/// Requests for a path.
pub(crate) fn mk_match(path: PathMatch) -> Match {
    Match {
        path,
        ..Match::default()
    }
}

/// A compiled rule of this name that sends requests nowhere.
pub(crate) fn mk_rule(name: &str) -> Arc<Rule> {
    Arc::new(Rule {
        route: mk_route("route").id,
        index: 0,
        name: Some(name.into()),
        filters: Filters::default(),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        backends: Vec::new(),
    })
}

/// The name of a rule.
pub(crate) fn rule_name(rule: &Rule) -> String {
    rule.name.as_deref().unwrap_or_default().to_owned()
}

//! What choosing among 1,000 rules costs, and making their table: `cargo bench -p agent --bench routes`.
//!
//! Each figure is the best of some rounds, since whatever else the machine does only adds to it.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use agent::model::{
    BackendTarget, Conditions, Contents, Filters, HeaderName, Match, Mesh, ObjectName, Parent, PathMatch, Pattern,
    Route, RouteId, RouteKind, Service, ServicePort, TextMatch, Timeouts, TrafficPolicy, Transport, WeightedBackend,
    WrittenRule,
};
use http::{HeaderMap, HeaderValue, Method, Uri};

fn main() {
    let header = HeaderName::new("x-user").expect("a name");
    let by_header = |index: usize| Match {
        conditions: Conditions {
            headers: vec![(header.clone(), TextMatch::Exact(format!("user-{index}").into()))],
            ..Conditions::default()
        },
        ..Match::default()
    };
    let by = |path: fn(String) -> PathMatch| {
        move |index: usize| Match {
            path: path(format!("/shop/item-{index}")),
            ..Match::default()
        }
    };
    let last = format!("/shop/item-{}", RULES - 1);
    measure("exact paths", &last, by(|path| PathMatch::Exact(path.into())));
    measure(
        "prefixes",
        &format!("{last}/a/b"),
        by(|path| PathMatch::Prefix(path.into())),
    );
    measure("header values", "/", by_header);
    for (what, pattern) in PATTERNS {
        let target = format!("{last}/7");
        let pattern = |index: usize| Pattern::new(&pattern.replace('N', &index.to_string())).expect("a pattern");
        let indexed = measure(what, &target, |index| Match {
            path: PathMatch::Pattern(pattern(index)),
            ..Match::default()
        });
        let patterns: Vec<Pattern> = (0..RULES).map(pattern).collect();
        let one_by_one = best(|| patterns.iter().any(|pattern| pattern.matches(black_box(&target))));
        println!(
            "  one by one {one_by_one} ns, {:.0} times as much",
            one_by_one as f64 / indexed as f64
        );
    }
}

/// The nanoseconds of a choice.
fn measure(what: &str, target: &str, matched: impl Fn(usize) -> Match) -> u128 {
    let service = ObjectName::new("shop", "web");
    let routes = (0..RULES / PER_ROUTE).map(|index| Arc::new(route(index, &service, &matched)));
    let contents = Contents {
        services: vec![Arc::new(web(&service))],
        routes: routes.collect(),
        ..Contents::default()
    };
    let begun = Instant::now();
    let mesh = Mesh::new(contents);
    let built = begun.elapsed();
    let table = mesh.routes(&service, 80, "shop").expect("routes");
    let uri: Uri = target.parse().expect("a target");
    let mut headers = HeaderMap::new();
    for index in 0..8 {
        let name: http::HeaderName = format!("x-other-{index}").parse().expect("a name");
        headers.insert(name, HeaderValue::from_static("value"));
    }
    let user = format!("user-{}", RULES - 1);
    headers.insert("x-user", user.parse().expect("a value"));
    let each = best(|| {
        table
            .choose(&Method::GET, black_box(&uri), black_box(&headers))
            .is_some()
    });
    println!(
        "{RULES} {what}: {each} ns a choice, table in {:.1} ms",
        built.as_secs_f64() * 1e3
    );
    each
}

/// The nanoseconds of a choice that finds something, in the best round.
fn best(choose: impl Fn() -> bool) -> u128 {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        for _ in 0..CHOICES {
            assert!(black_box(choose()), "something is found");
        }
        begun.elapsed()
    });
    rounds.min().unwrap_or(Duration::ZERO).as_nanos() / u128::from(CHOICES)
}

fn route(index: usize, service: &ObjectName, matched: &impl Fn(usize) -> Match) -> Route {
    let rules = (0..PER_ROUTE).map(|rule| WrittenRule {
        name: None,
        matches: vec![matched(index * PER_ROUTE + rule)],
        filters: Filters::default(),
        backends: vec![WeightedBackend {
            target: BackendTarget::Service {
                service: service.clone(),
                port: 80,
            },
            weight: 1,
            filters: Filters::default(),
        }],
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    });
    Route {
        id: RouteId {
            kind: RouteKind::HttpRoute,
            name: ObjectName::new("shop", format!("route-{index}")),
        },
        created: None,
        parents: vec![Parent {
            index: 0,
            service: service.clone(),
            port: None,
            section: None,
        }],
        server_names: Vec::new(),
        rules: rules.collect(),
    }
}

fn web(name: &ObjectName) -> Service {
    Service {
        name: name.clone(),
        cluster_ips: vec![[10, 96, 0, 1].into()],
        external_ips: Vec::new(),
        headless: false,
        external_name: None,
        publish_not_ready: false,
        ports: vec![ServicePort {
            name: String::new(),
            port: 80,
            transport: Transport::Tcp,
            app_protocol: None,
            endpoints: Vec::new(),
        }],
        internal_traffic_policy: TrafficPolicy::Cluster,
        traffic_distribution: None,
        affinity: None,
    }
}

/// With what is fixed at their beginning, their end and in between; `N` is a number of each one's own.
const PATTERNS: [(&str, &str); 3] = [
    ("regular expressions", "/shop/item-N/[0-9]+"),
    ("regular expressions by their end", "/[a-z]+/[a-z]+-N/7"),
    ("regular expressions by their middle", ".*/item-N/.*"),
];
const RULES: usize = 1_000;
const PER_ROUTE: usize = 10;
const ROUNDS: usize = 10;
const CHOICES: u32 = 2_000;

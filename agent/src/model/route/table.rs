//! The routes of one port of a Service, for some clients, made to choose from at once.
//!
//! An exact path goes before a pattern, a pattern before a prefix, a longer prefix before a shorter one; patterns, of which
//! the specification says nothing, are tried by length. Within one path: more specific first, then the older route.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use http::{HeaderMap, Method, Uri};

use super::{
    Match, PathMatch, Route, RouteId, RouteKind, Rule,
    bucket::{Bucket, Entry},
    patterns::Patterns,
    stream::Names,
};

/// The routes of one kind that decide for one port of a Service, and some clients.
#[derive(Clone, Debug)]
pub struct Routes {
    kind: RouteKind,
    routes: Vec<RouteId>,
    table: Table,
}

/// A rule that was chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// The rule.
    pub rule: &'a Arc<Rule>,
    /// Which of its matches; none for streams.
    pub matched: Option<&'a Match>,
}

/// What routes say of a connection of which no requests are seen.
#[derive(Clone, Copy, Debug)]
pub enum StreamChoice<'a> {
    /// It goes where the rule says.
    Rule {
        /// The rule.
        rule: &'a Arc<Rule>,
        /// The server name for which it is, as the route has it; none where it is for all.
        name: Option<&'a str>,
    },
    /// There are rules for server names, and none for this one: it is refused.
    Refused,
    /// Nothing: they are about requests.
    Unconcerned,
}

#[derive(Clone, Debug)]
enum Table {
    Requests(Box<Requests>),
    Names(Names),
}

/// The rules for requests.
#[derive(Clone, Debug, Default)]
struct Requests {
    exact: HashMap<Box<str>, Bucket>,
    patterns: Patterns,
    prefixes: Node,
    grpc_methods: HashMap<Box<str>, Bucket>,
    any: Bucket,
}

/// The prefixes that begin with the same elements.
#[derive(Clone, Debug, Default)]
struct Node {
    here: Bucket,
    below: HashMap<Box<str>, Node>,
}

/// What a rule is chosen for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

// === impl Routes ===

impl Routes {
    /// Builds the table of routes of one kind; each comes with its rules.
    pub(super) fn new(kind: RouteKind, routes: &[(&Route, Vec<Arc<Rule>>)]) -> Self {
        let mut oldest: Vec<&(&Route, Vec<Arc<Rule>>)> = routes.iter().collect();
        oldest.sort_by_key(|(route, _)| route.age());
        let table = match kind {
            RouteKind::HttpRoute | RouteKind::GrpcRoute => Table::Requests(Box::new(Requests::new(&oldest))),
            RouteKind::TlsRoute | RouteKind::TcpRoute => {
                let mut names = Names::default();
                for (route, rules) in &oldest {
                    rules.iter().for_each(|rule| names.add(&route.server_names, rule));
                }
                Table::Names(names)
            }
        };
        Self {
            kind,
            routes: oldest.iter().map(|(route, _)| route.id.clone()).collect(),
            table,
        }
    }

    /// The kind of the routes.
    pub fn kind(&self) -> RouteKind {
        self.kind
    }

    /// The routes, the oldest first.
    pub fn routes(&self) -> &[RouteId] {
        &self.routes
    }

    /// The rule that decides on a request; without one the client gets 404.
    ///
    /// A gRPC call is a request for `/<service>/<method>`.
    pub fn choose(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&Arc<Rule>> {
        self.explain(method, uri, headers).map(|chosen| chosen.rule)
    }

    /// The same, with why.
    pub fn explain(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Chosen<'_>> {
        match &self.table {
            Table::Requests(requests) => {
                let Entry { matched, rule } = requests.choose(Request { method, uri, headers })?;
                Some(Chosen {
                    rule,
                    matched: Some(matched),
                })
            }
            Table::Names(names) => names.choose(None).map(|(rule, _)| Chosen { rule, matched: None }),
        }
    }

    /// What they say of a connection that is bytes, or TLS for a server name.
    pub fn choose_stream(&self, server_name: Option<&str>) -> StreamChoice<'_> {
        match &self.table {
            Table::Requests(_) => StreamChoice::Unconcerned,
            Table::Names(names) => names
                .choose(server_name)
                .map_or(StreamChoice::Refused, |(rule, name)| StreamChoice::Rule { rule, name }),
        }
    }

    /// All rules in the order of their routes.
    pub fn rules(&self) -> Vec<&Arc<Rule>> {
        let rules: Vec<&Arc<Rule>> = match &self.table {
            Table::Requests(requests) => requests.entries().map(|entry| &entry.rule).collect(),
            Table::Names(names) => names.rules().collect(),
        };
        let place = |rule: &Rule| self.routes.iter().position(|route| *route == rule.route);
        let unique: BTreeMap<_, _> = rules
            .into_iter()
            .map(|rule| ((place(rule), rule.index), rule))
            .collect();
        unique.into_values().collect()
    }
}

// === impl Requests ===

impl Requests {
    fn new(oldest: &[&(&Route, Vec<Arc<Rule>>)]) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for (route, rules) in oldest {
            for rule in rules {
                let matches = route.rules.get(rule.index).into_iter().flat_map(|rule| &rule.matches);
                entries.extend(matches.map(|matched| Entry {
                    matched: matched.clone(),
                    rule: Arc::clone(rule),
                }));
            }
        }
        // Stable: what is equally specific stays in the order of age and place.
        entries.sort_by_cached_key(|entry| std::cmp::Reverse(specificity(&entry.matched)));
        let mut requests = Self::default();
        entries.into_iter().for_each(|entry| requests.add(entry));
        requests.patterns.index();
        requests
    }

    fn add(&mut self, entry: Entry) {
        let bucket = match &entry.matched.path {
            PathMatch::Exact(path) => self.exact.entry((**path).into()).or_default(),
            PathMatch::GrpcMethod(method) => self.grpc_methods.entry((**method).into()).or_default(),
            PathMatch::Prefix(prefix) => match prefix.trim_matches('/') {
                "" => &mut self.any,
                elements => self.prefixes.at(elements),
            },
            PathMatch::Pattern(pattern) => self.patterns.at(pattern),
        };
        bucket.push(entry);
    }

    fn choose(&self, request: Request<'_>) -> Option<&Entry> {
        let path = match request.uri.path() {
            "" => "/",
            path => path,
        };
        let exact = self.exact.get(path).and_then(|bucket| bucket.choose(request));
        let pattern = || self.patterns.choose(path, request);
        let prefix = || self.prefixes.choose(path.strip_prefix('/')?, request);
        let grpc_method = || self.grpc_methods.get(path.rsplit_once('/')?.1)?.choose(request);
        exact
            .or_else(pattern)
            .or_else(prefix)
            .or_else(grpc_method)
            .or_else(|| self.any.choose(request))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let buckets = self.exact.values().chain(self.patterns.buckets());
        let buckets = buckets.chain(self.grpc_methods.values()).chain([&self.any]);
        let mut all: Vec<&Bucket> = buckets.collect();
        self.prefixes.collect(&mut all);
        all.into_iter().flat_map(Bucket::entries)
    }
}

// === impl Node ===

impl Node {
    /// The bucket of a prefix, relative to this one.
    fn at(&mut self, elements: &str) -> &mut Bucket {
        let mut node = self;
        for element in elements.split('/') {
            node = node.below.entry(element.into()).or_default();
        }
        &mut node.here
    }

    /// The longest prefix first; no deeper than the prefixes are.
    fn choose(&self, path: &str, request: Request<'_>) -> Option<&Entry> {
        let (element, rest) = match path.split_once('/') {
            Some((element, rest)) => (element, Some(rest)),
            None => (path, None),
        };
        let node = self.below.get(element)?;
        let below = rest.and_then(|rest| node.choose(rest, request));
        below.or_else(|| node.here.choose(request))
    }

    fn collect<'a>(&'a self, buckets: &mut Vec<&'a Bucket>) {
        buckets.push(&self.here);
        self.below.values().for_each(|node| node.collect(buckets));
    }
}

/// What goes first among rules for the same path: the longer one as written, then one for a method, then the one for more
/// headers, then for more parameters.
fn specificity(matched: &Match) -> (usize, bool, usize, usize) {
    let Match { path, conditions } = matched;
    let length = match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::GrpcMethod(path) => path.len(),
        PathMatch::Pattern(pattern) => pattern.as_str().len(),
    };
    (
        length,
        conditions.method.is_some(),
        conditions.headers.len(),
        conditions.parameters.len(),
    )
}

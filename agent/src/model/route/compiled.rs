//! The tables of all routes, made when the mesh changes; a change that does not touch them leaves them as they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Backend, BackendTarget, Bindings, Filters, ResolvedBackend, Route, Routes, Rule, UnresolvedBackend, WrittenRule,
    binding::{Place, resolve},
};
use crate::model::{ObjectName, Service, Transport};

/// All tables.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Compiled(Arc<Inner>);

/// Routes with the place for which they decide.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The Service.
    pub service: &'a ObjectName,
    /// Its port.
    pub port: u16,
    /// The namespace of the clients; none for all.
    pub clients: Option<&'a Arc<str>>,
    /// What decides.
    pub routes: &'a Arc<Routes>,
}

#[derive(Debug, Default)]
struct Inner {
    routes: Vec<Arc<Route>>,
    shapes: BTreeMap<ObjectName, Option<Shape>>,
    tables: HashMap<ObjectName, HashMap<u16, Tables>>,
    /// The ports of Services to which rules send requests.
    backends: BTreeSet<(ObjectName, u16)>,
}

/// The tables of one port of a Service.
#[derive(Clone, Debug, Default)]
struct Tables {
    all: Option<Arc<Routes>>,
    /// By the namespace of the clients.
    own: BTreeMap<Arc<str>, Arc<Routes>>,
}

/// What routes see of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    has_address: bool,
    is_external_name: bool,
    ports: Vec<(String, u16, Transport)>,
}

type Services = BTreeMap<ObjectName, Arc<Service>>;

// === impl Compiled ===

impl Compiled {
    /// Compiles routes, unless neither they nor what they see of Services is other than before.
    pub(in crate::model) fn new(routes: &[Arc<Route>], services: &Services, previous: Option<&Self>) -> Self {
        let named = routes.iter().flat_map(|route| named(route));
        let shapes: BTreeMap<ObjectName, Option<Shape>> = named
            .map(|name| (name.clone(), services.get(name).map(|service| Shape::of(service))))
            .collect();
        if let Some(previous) = previous
            && previous.0.shapes == shapes
            && *previous.0.routes == *routes
        {
            return previous.clone();
        }
        let service = |name: &ObjectName| services.get(name).map(|service| &**service);
        let mut inner = Inner {
            routes: routes.to_vec(),
            shapes,
            ..Inner::default()
        };
        let mut compiled: HashMap<_, Vec<Arc<Rule>>> = HashMap::new();
        for (place, (kind, routes)) in Bindings::new(routes, service).places {
            let with_rules: Vec<(&Route, Vec<Arc<Rule>>)> = routes
                .iter()
                .map(|route| {
                    let rules = compiled
                        .entry(route.id.clone())
                        .or_insert_with(|| rules(route, services));
                    (&**route, rules.clone())
                })
                .collect();
            let table = Arc::new(Routes::new(kind, &with_rules));
            inner
                .backends
                .extend(table.rules().into_iter().flat_map(|rule| targets(rule)));
            inner.add(place, table);
        }
        Self(Arc::new(inner))
    }

    /// The routes that decide for clients of a namespace.
    pub(in crate::model) fn of(&self, service: &ObjectName, port: u16, clients: &str) -> Option<&Arc<Routes>> {
        let Tables { all, own } = self.0.tables.get(service)?.get(&port)?;
        own.get(clients).or(all.as_ref())
    }

    /// The ports of Services to which rules send requests.
    pub(in crate::model) fn backends(&self) -> &BTreeSet<(ObjectName, u16)> {
        &self.0.backends
    }

    /// All tables with their places, in order.
    pub(in crate::model) fn all(&self) -> Vec<Placed<'_>> {
        let ports = self.0.tables.iter().flat_map(|(service, ports)| {
            let ports = ports.iter();
            ports.map(move |(port, tables)| (service, *port, tables))
        });
        let mut all: Vec<Placed<'_>> = ports
            .flat_map(|(service, port, tables)| {
                let placed = move |clients, routes| Placed {
                    service,
                    port,
                    clients,
                    routes,
                };
                let all = tables.all.iter().map(move |routes| placed(None, routes));
                let own = tables.own.iter();
                all.chain(own.map(move |(clients, routes)| placed(Some(clients), routes)))
            })
            .collect();
        all.sort_by_key(|placed| (placed.service, placed.port, placed.clients));
        all
    }
}

// === impl Inner ===

impl Inner {
    fn add(&mut self, place: Place, table: Arc<Routes>) {
        let Place { service, port, clients } = place;
        let tables = self.tables.entry(service).or_default().entry(port).or_default();
        match clients {
            Some(namespace) => drop(tables.own.insert(namespace, table)),
            None => tables.all = Some(table),
        }
    }
}

// === impl Shape ===

impl Shape {
    fn of(service: &Service) -> Self {
        let ports = service.ports.iter();
        Self {
            has_address: !service.cluster_ips.is_empty(),
            is_external_name: service.external_name.is_some(),
            ports: ports
                .map(|port| (port.name.clone(), port.port, port.transport))
                .collect(),
        }
    }
}

/// The Services that a route names.
fn named(route: &Route) -> impl Iterator<Item = &ObjectName> {
    let parents = route.parents.iter().map(|parent| &parent.service);
    let targets = route.rules.iter().flat_map(|rule| {
        let backends = rule.backends.iter();
        backends
            .flat_map(|backend| [&backend.target].into_iter().chain(mirrored(&backend.filters)))
            .chain(mirrored(&rule.filters))
    });
    parents.chain(targets.filter_map(|target| match target {
        BackendTarget::Service { service, port: _ } => Some(service),
        BackendTarget::OtherKind { kind: _ } => None,
    }))
}

fn mirrored(filters: &Filters) -> impl Iterator<Item = &BackendTarget> {
    filters.mirrors.iter().map(|mirror| &mirror.target)
}

/// The ports to which a rule sends requests or copies of them.
fn targets(rule: &Rule) -> Vec<(ObjectName, u16)> {
    let backends = rule.backends().filter_map(|(_, backend)| match backend {
        Backend::Resolved(resolved) => Some(resolved),
        Backend::Unresolved(_) => None,
    });
    let copies = |filters: &Filters| -> Vec<(ObjectName, u16)> {
        let targets = mirrored(filters);
        let named = targets.filter_map(|target| match target {
            BackendTarget::Service { service, port } => Some((service.clone(), *port)),
            BackendTarget::OtherKind { kind: _ } => None,
        });
        named.collect()
    };
    let of_backends = backends.flat_map(|backend| {
        let own = (backend.service.clone(), backend.port);
        [own].into_iter().chain(copies(&backend.filters))
    });
    of_backends.chain(copies(&rule.filters)).collect()
}

fn rules(route: &Route, services: &Services) -> Vec<Arc<Rule>> {
    let rules = route.rules.iter().enumerate();
    rules
        .map(|(index, written)| Arc::new(rule(route, index, written, services)))
        .collect()
}

fn rule(route: &Route, index: usize, written: &WrittenRule, services: &Services) -> Rule {
    let WrittenRule {
        name,
        matches: _,
        filters,
        backends,
        timeouts,
        retry,
        session,
    } = written;
    let service = |name: &ObjectName| services.get(name).map(|service| &**service);
    let usable = |filters: &Filters| {
        let mut filters = filters.clone();
        filters
            .mirrors
            .retain(|mirror| resolve(&mirror.target, service).is_ok());
        filters
    };
    let mut upto = 0;
    let weighted = backends.iter().filter(|backend| backend.weight > 0).map(|backend| {
        upto += u64::from(backend.weight);
        let resolved = match resolve(&backend.target, service) {
            Ok((service, port)) => Backend::Resolved(Box::new(ResolvedBackend {
                service: service.clone(),
                port,
                filters: usable(&backend.filters),
            })),
            Err(reason) => Backend::Unresolved(reason),
        };
        (upto, resolved)
    });
    let weighted: Vec<(u64, Backend)> = weighted.collect();
    let nowhere = weighted
        .is_empty()
        .then(|| (1, Backend::Unresolved(UnresolvedBackend::None)));
    Rule {
        route: route.id.clone(),
        index,
        name: name.clone(),
        filters: usable(filters),
        timeouts: *timeouts,
        retry: retry.clone(),
        session: session.clone(),
        backends: weighted.into_iter().chain(nowhere).collect(),
    }
}

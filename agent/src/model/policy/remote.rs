//! What a client of this node must ask of destinations anywhere: it knows their namespace, address and port, and no labels.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    AuthenticationPolicy, MtlsMode, PolicyKind, Ports, Support, Target,
    compiled::Given,
    held::Settings,
    mtls::{Holding, Mtls},
    scope::{Scope, Scopes},
};
use crate::model::Endpoint;

/// What is known of destinations.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// Namespaces with policies of their own.
    namespaces: HashMap<Arc<str>, Namespace>,
    /// Namespaces that are enrolled and have none.
    enrolled: Namespace,
    enrolled_namespaces: BTreeSet<Arc<str>>,
    /// Addresses behind Services that a policy targets.
    targeted: HashMap<IpAddr, Arc<Mtls>>,
}

/// What is known of the pods of one namespace.
#[derive(Debug, Default)]
struct Namespace {
    /// What holds for all of them.
    mtls: Mtls,
    /// The ports on which it may be otherwise for pods with certain labels: Strict.
    strict_for_some: Vec<Ports>,
}

/// The policies that hold for one address, by their index in the scope.
type Held = Vec<(usize, Ports)>;

// === impl Remote ===

impl Remote {
    pub(super) fn new(scopes: &Scopes, given: Given<'_>, settings: &Settings) -> Self {
        let namespaces = scopes
            .own()
            .filter(|(_, scope)| speaks_of_mtls(scope))
            .map(|(name, scope)| {
                let enrolled = given.policies.enrolled_namespaces.contains(name);
                (Arc::clone(name), Namespace::new(scope, enrolled, settings))
            })
            .collect();
        Self {
            namespaces,
            enrolled: Namespace::new(scopes.system(), true, settings),
            enrolled_namespaces: given.policies.enrolled_namespaces.clone(),
            targeted: targeted(scopes, given, settings),
        }
    }

    /// Whether a destination refuses plaintext, or may.
    pub(super) fn requires_mtls(&self, endpoint: &Endpoint, port: u16) -> bool {
        let targeted = self.targeted.get(&endpoint.address.ip());
        let Some((_, pod)) = &endpoint.pod else {
            return targeted.is_some_and(|mtls| mtls.at(port).is_strict());
        };
        let namespace = match self.namespaces.get(&pod.namespace) {
            Some(namespace) => namespace,
            None if self.enrolled_namespaces.contains(&pod.namespace) => &self.enrolled,
            None => return targeted.is_some_and(|mtls| mtls.at(port).is_strict()),
        };
        let mtls = targeted.map_or(&namespace.mtls, |mtls| &**mtls);
        mtls.at(port).is_strict() || namespace.strict_for_some.iter().any(|ports| ports.contains(port))
    }

    /// Whether a pod of an enrolled namespace may refuse plaintext by a policy for all pods or by its labels.
    pub(super) fn may_be_strict(&self, namespace: &str) -> bool {
        let namespace = self.namespaces.get(namespace).unwrap_or(&self.enrolled);
        namespace.mtls.is_strict_anywhere() || !namespace.strict_for_some.is_empty()
    }
}

// === impl Namespace ===

impl Namespace {
    /// Policies of the system namespace hold for enrolled namespaces only: nobody enforces them elsewhere.
    fn new(scope: &Scope, enrolled: bool, settings: &Settings) -> Self {
        let policies = || {
            scope
                .authentication
                .iter()
                .filter(|policy| enrolled || !settings.is_system(policy))
        };
        let for_all = policies().filter(|policy| policy.target == Target::All);
        let for_some = policies().filter(|policy| matches!(policy.target, Target::Selector(_)));
        let obscure = policies().any(|policy| policy.support == Support::Partial)
            || scope
                .undecodable
                .iter()
                .any(|policy| policy.kind == PolicyKind::AuthenticationPolicy);
        Self {
            mtls: Mtls::new(
                for_all.map(|policy| settings.holding(policy, Ports::All)).collect(),
                if enrolled { settings.mtls } else { MtlsMode::Permissive },
            ),
            strict_for_some: for_some
                .flat_map(|policy| strict_ports(policy))
                .chain(obscure.then_some(Ports::All))
                .collect(),
        }
    }
}

// === impl Settings ===

impl Settings {
    fn is_system(&self, policy: &AuthenticationPolicy) -> bool {
        policy.name.namespace == self.system_namespace
    }

    fn holding<'a>(&self, policy: &'a AuthenticationPolicy, ports: Ports) -> Holding<'a> {
        Holding {
            policy,
            ports,
            mesh_wide: self.is_system(policy),
        }
    }
}

fn speaks_of_mtls(scope: &Scope) -> bool {
    !scope.authentication.is_empty() || !scope.undecodable.is_empty()
}

fn strict_ports(policy: &AuthenticationPolicy) -> Option<Ports> {
    if policy.mtls.mode == Some(MtlsMode::Strict) {
        return Some(Ports::All);
    }
    let strict = policy
        .mtls
        .ports
        .iter()
        .filter(|(_, port)| port.mode == Some(MtlsMode::Strict));
    let ports: Vec<u16> = strict.map(|(port, _)| *port).collect();
    (!ports.is_empty()).then(|| Ports::Only(ports.into()))
}

/// What holds for each address behind a Service that some policy targets.
fn targeted(scopes: &Scopes, given: Given<'_>, settings: &Settings) -> HashMap<IpAddr, Arc<Mtls>> {
    let mut targeted = HashMap::new();
    let system = [(&settings.system_namespace, scopes.system())];
    for (namespace, scope) in scopes.own().chain(system) {
        let mut held: BTreeMap<IpAddr, Held> = BTreeMap::new();
        for (index, policy) in scope
            .authentication
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.name.namespace == *namespace)
        {
            for (address, ports) in reached(policy, given) {
                let held = held.entry(address).or_default();
                match held.last_mut().filter(|(last, _)| *last == index) {
                    Some((_, known)) => *known = known.clone().union(ports),
                    None => held.push((index, ports)),
                }
            }
        }
        let enrolled = given.policies.enrolled_namespaces.contains(namespace);
        let for_all: Held = scope
            .authentication
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.target == Target::All && (enrolled || !settings.is_system(policy)))
            .map(|(index, _)| (index, Ports::All))
            .collect();
        let default = if enrolled { settings.mtls } else { MtlsMode::Permissive };
        let mut shared: HashMap<Held, Arc<Mtls>> = HashMap::new();
        for (address, held) in held {
            let mtls = shared.entry(held).or_insert_with_key(|held| {
                let all = held.iter().chain(&for_all);
                let holding = all.map(|(index, ports)| settings.holding(&scope.authentication[*index], ports.clone()));
                Arc::new(Mtls::new(holding.collect(), default))
            });
            targeted.insert(address, Arc::clone(mtls));
        }
    }
    targeted
}

/// The addresses behind the Services of a policy, each with the ports that are meant.
fn reached<'a>(policy: &'a AuthenticationPolicy, given: Given<'a>) -> Vec<(IpAddr, Ports)> {
    let targets = match &policy.target {
        Target::All | Target::Selector(_) => &[][..],
        Target::Services(targets) => targets,
    };
    let mut reached = Vec::new();
    for target in targets {
        let name = super::super::ObjectName {
            namespace: Arc::clone(&policy.name.namespace),
            name: Arc::clone(&target.service),
        };
        let Some(service) = given.services.get(&name) else {
            continue;
        };
        let section = target.section.as_deref();
        let known = section.is_none_or(|section| service.ports.iter().any(|port| port.name == section));
        for port in service
            .ports
            .iter()
            .filter(|port| !known || section.is_none_or(|section| port.name == section))
        {
            reached.extend(port.endpoints.iter().map(|endpoint| {
                let ports = match section {
                    Some(_) if known => Ports::Only([endpoint.address.port()].into()),
                    Some(_) | None => Ports::All,
                };
                (endpoint.address.ip(), ports)
            }));
        }
    }
    reached
}

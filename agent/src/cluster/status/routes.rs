//! What each route is to be told of its parents: whether it decides there, and what its rules name that is not there.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value as Json, json};

use super::{
    super::{
        convert::status::Condition,
        field::Finding,
        objects::{Key, Kind, Object, Service},
    },
    StatusVerdict,
    judge::{ACCEPTED, CONTROLLER, cut, found_of, refuses, transition},
};
use crate::model::{
    self, BackendTarget, Bindings, ObjectName, Route, Severity, Unbound, UnresolvedBackend, resolve_backend,
};

/// A route as it was written, with what stands in its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrittenRoute {
    route: Option<Arc<Route>>,
    findings: Vec<Finding>,
    /// Those of its parents which are Services, as written.
    parents: BTreeMap<usize, Json>,
    generation: Option<i64>,
    version: Option<String>,
    /// The entries of its status.
    told: Vec<Json>,
}

/// Whether a condition holds, by its reason; where it does not, with words for people.
type Answer = Result<&'static str, (&'static str, String)>;

// === impl WrittenRoute ===

impl WrittenRoute {
    pub(super) fn new(kind: Kind, object: DynamicObject) -> Self {
        let (generation, version) = (object.metadata.generation, object.metadata.resource_version.clone());
        let list = |pointer: &str| object.data.pointer(pointer).and_then(Json::as_array).cloned();
        let told = list("/status/parents").unwrap_or_default();
        let parents = list("/spec/parentRefs").unwrap_or_default().into_iter().enumerate();
        let parents = parents.filter(|(_, parent)| parent["group"] == "" && parent["kind"] == "Service");
        let parents = parents.collect();
        let (object, findings, _) = found_of(kind, object);
        Self {
            route: match object {
                Some(Object::Route(route)) => Some(route),
                Some(_) | None => None,
            },
            findings,
            parents,
            generation,
            version,
            told,
        }
    }

    /// The entry of one parent, without times.
    fn parent(&self, reference: &Json, conditions: Vec<(&'static str, Answer)>) -> (Json, Vec<Condition>) {
        let conditions = conditions.into_iter().map(|(kind, result)| {
            let (status, reason, message) = match result {
                Ok(reason) => ("True", reason, String::new()),
                Err((reason, message)) => ("False", reason, cut(message)),
            };
            Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message,
                last_transition_time: String::new(),
                observed_generation: self.generation,
            }
        });
        (reference.clone(), conditions.collect())
    }

    /// What is said of each of its parents.
    fn judged(
        &self,
        bindings: &Bindings,
        services: &BTreeMap<ObjectName, Arc<Service>>,
    ) -> Vec<(Json, Vec<Condition>)> {
        let Some(route) = &self.route else {
            let errors = self.findings.iter().filter(|found| found.severity == Severity::Error);
            let errors: Vec<String> = errors
                .map(|found| format!("{}: {}", found.field, found.reason))
                .collect();
            let refused = |parent| self.parent(parent, vec![(ACCEPTED, Err(("UnsupportedValue", errors.join("; "))))]);
            return self.parents.values().map(refused).collect();
        };
        let resolved = resolved(route, services);
        let judged = route.parents.iter().filter_map(|parent| {
            let accepted = match bindings.unbound(&route.id, parent) {
                None => Ok(ACCEPTED),
                Some(unbound) => Err((reason(unbound), unbound.to_string())),
            };
            let conditions = vec![(ACCEPTED, accepted), (RESOLVED, resolved.clone())];
            Some(self.parent(self.parents.get(&parent.index)?, conditions))
        });
        judged.collect()
    }

    /// What its status is to be; what other controllers say stays.
    fn wanted(&self, judged: Vec<(Json, Vec<Condition>)>, now: Timestamp) -> Vec<Json> {
        let is_ours = |entry: &&Json| entry["controllerName"] == CONTROLLER;
        let others = self.told.iter().filter(|entry| !is_ours(entry)).cloned();
        let ours = judged.into_iter().map(|(parent, conditions)| {
            let mut known = self.told.iter().filter(is_ours);
            let known = known.find(|entry| entry["parentRef"] == parent);
            let known: Vec<Condition> = known
                .and_then(|entry| serde_json::from_value(entry["conditions"].clone()).ok())
                .unwrap_or_default();
            let conditions: Vec<Condition> = conditions
                .into_iter()
                .map(|condition| Condition {
                    last_transition_time: transition(&condition, &known, now),
                    ..condition
                })
                .collect();
            json!({ "parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions })
        });
        others.chain(ours).take(MOST_PARENTS).collect()
    }
}

/// Judges all routes.
pub(super) fn judge_routes(
    written: &BTreeMap<Key, WrittenRoute>,
    services: &BTreeMap<ObjectName, Arc<Service>>,
    now: Timestamp,
) -> Vec<StatusVerdict> {
    let routes: Vec<Arc<Route>> = written.values().filter_map(|written| written.route.clone()).collect();
    let bindings = Bindings::new(&routes, service_of(services));
    let verdict = |(key, route): (&Key, &WrittenRoute)| {
        let judged = route.judged(&bindings, services);
        let accepted = judged.iter().all(|(_, conditions)| !refuses(conditions));
        let wanted = route.wanted(judged, now);
        StatusVerdict {
            key: key.clone(),
            version: route.version.clone(),
            accepted,
            wanted: (wanted != route.told).then(|| json!({ "parents": wanted })),
        }
    };
    written.iter().map(verdict).collect()
}

fn service_of<'a>(
    services: &'a BTreeMap<ObjectName, Arc<Service>>,
) -> impl Fn(&ObjectName) -> Option<&'a model::Service> {
    |name| services.get(name).map(|service| &service.service)
}

/// Whether all that the rules name is there; else the first thing that is not.
fn resolved(route: &Route, services: &BTreeMap<ObjectName, Arc<Service>>) -> Answer {
    let targets = route.rules.iter().flat_map(|rule| {
        let of_backends = rule.backends.iter();
        let of_backends = of_backends.flat_map(|backend| {
            let mirrors = backend.filters.mirrors.iter().map(|mirror| &mirror.target);
            [&backend.target].into_iter().chain(mirrors)
        });
        of_backends.chain(rule.filters.mirrors.iter().map(|mirror| &mirror.target))
    });
    let mut failed = targets.filter_map(|target: &BackendTarget| resolve_backend(target, service_of(services)).err());
    match failed.next() {
        None => Ok(RESOLVED),
        Some(unresolved) => {
            let reason = match unresolved {
                UnresolvedBackend::OtherKind(_) => "InvalidKind",
                UnresolvedBackend::NoService(_)
                | UnresolvedBackend::NoPort(..)
                | UnresolvedBackend::ExternalName(_)
                | UnresolvedBackend::None => "BackendNotFound",
            };
            Err((reason, unresolved.to_string()))
        }
    }
}

fn reason(unbound: &Unbound) -> &'static str {
    match unbound {
        Unbound::NoService(_) | Unbound::NoAddress(_) | Unbound::NoPort(_) => "NoMatchingParent",
        Unbound::Conflicted(_) => "Conflicted",
    }
}

const RESOLVED: &str = "ResolvedRefs";
/// As many as the kinds permit.
const MOST_PARENTS: usize = 32;

#[cfg(test)]
mod tests;

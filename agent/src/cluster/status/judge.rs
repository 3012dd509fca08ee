//! What each policy is to be told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::{
    super::{
        check::check,
        convert::status::{AncestorReference, Condition, PolicyAncestor, PolicyStatus},
        decode::{Unknown, decode},
        field::{Field, Finding, Findings, Step},
        objects::{Key, Kind, Object, Objects, Scope, Service},
        slices::Backends,
    },
    StatusVerdict,
    caller::Caller,
};
use crate::model::{ObjectName, ServiceTarget, Severity, Target};

/// A policy as it was written, with what stands in its status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    object: Option<Object>,
    findings: Vec<Finding>,
    generation: Option<i64>,
    version: Option<String>,
    status: PolicyStatus,
}

/// What is wrong with a policy for one of its targets, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Accepted,
    Conflicted,
    TargetNotFound,
    Invalid,
}

// === impl Written ===

impl Written {
    pub(super) fn new(kind: Kind, object: DynamicObject) -> Self {
        let (generation, version) = (object.metadata.generation, object.metadata.resource_version.clone());
        let (object, findings, status) = found_of(kind, object);
        Self {
            object,
            findings,
            generation,
            version,
            status: as_written(status),
        }
    }
}

/// Decodes an object as agents do; gives what was found in it, and its status as it stands there.
pub(super) fn found_of(kind: Kind, object: DynamicObject) -> (Option<Object>, Vec<Finding>, Option<Json>) {
    let DynamicObject { metadata, mut data, .. } = object;
    let name = ObjectName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    );
    let status = data.as_object_mut().and_then(|data| data.remove("status"));
    let mut findings = Findings::default();
    let mut json = data;
    if let Some(json) = json.as_object_mut() {
        json.insert("apiVersion".into(), kind.api_version().into());
        json.insert("kind".into(), kind.label().into());
        json.insert("metadata".into(), serde_json::to_value(&metadata).unwrap_or(Json::Null));
        if let Some(metadata) = json.get_mut("metadata").and_then(Json::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
    let object = decode(&Key { kind, name }, &json, Unknown::Passed, &mut findings);
    (object, findings.into_vec(), status)
}

/// A status as it stands in its object; what cannot be read is written anew.
pub(super) fn as_written<S: Default + DeserializeOwned>(status: Option<Json>) -> S {
    status
        .and_then(|status| serde_json::from_value(status).ok())
        .unwrap_or_default()
}

/// Judges all policies.
pub(super) fn judge(
    written: &BTreeMap<Key, Written>,
    services: &BTreeMap<ObjectName, Arc<Service>>,
    callers: &[Caller],
    now: Timestamp,
) -> Vec<StatusVerdict> {
    let good: BTreeMap<Key, Object> = written
        .iter()
        .filter_map(|(key, written)| Some((key.clone(), written.object.clone()?)))
        .chain(services.iter().map(|(name, service)| {
            let key = Key {
                kind: Kind::Service,
                name: name.clone(),
            };
            (key, Object::Service(Arc::clone(service)))
        }))
        .collect();
    let objects = Objects::new(Scope::Cluster, &good, &BTreeSet::new());
    let mut checked: BTreeMap<Key, Vec<Finding>> = BTreeMap::new();
    for (key, finding) in check(&objects, &Backends::new(&objects)) {
        checked.entry(key).or_default().push(finding);
    }
    written
        .iter()
        .map(|(key, policy)| {
            let found = [&policy.findings[..], checked.get(key).map_or(&[], Vec::as_slice)].concat();
            let warnings = warnings(policy, services, callers);
            let own = ancestors(key, policy, &found, &warnings);
            let accepted = own.iter().all(|ancestor| !refuses(&ancestor.conditions));
            let wanted = with_times(own, &policy.status, now);
            StatusVerdict {
                key: key.clone(),
                version: policy.version.clone(),
                accepted,
                wanted: (wanted != policy.status).then(|| json!(wanted)),
            }
        })
        .collect()
}

/// What is said of each target, without times.
fn ancestors(key: &Key, policy: &Written, found: &[Finding], warnings: &[String]) -> Vec<PolicyAncestor> {
    let all = |_: &Finding| true;
    let target = policy.object.as_ref().and_then(target_of);
    match target {
        Some(Target::Services(targets)) => targets
            .iter()
            .enumerate()
            .take(MOST_ANCESTORS)
            .map(|(index, target)| {
                let others = others(index, targets.len());
                let concerns = |finding: &Finding| {
                    !others
                        .iter()
                        .any(|other| finding.field.steps().starts_with(other.steps()))
                };
                ancestor(service_reference(target), policy, found, concerns, warnings)
            })
            .collect(),
        Some(Target::All | Target::Selector(_)) | None => {
            let namespace = AncestorReference {
                group: String::new(),
                kind: "Namespace".to_owned(),
                namespace: None,
                name: key.name.namespace.to_string(),
                section_name: None,
            };
            vec![ancestor(namespace, policy, found, all, warnings)]
        }
    }
}

/// The fields of the other targets: what is wrong there is theirs.
fn others(index: usize, targets: usize) -> Vec<Field> {
    let field = Field::at("spec.targetRefs");
    let others = (0..targets).filter(|other| *other != index);
    others.map(|other| field.then(Step::Index(other))).collect()
}

fn service_reference(target: &ServiceTarget) -> AncestorReference {
    AncestorReference {
        group: String::new(),
        kind: "Service".to_owned(),
        namespace: None,
        name: target.service.to_string(),
        section_name: target.section.as_ref().map(ToString::to_string),
    }
}

fn ancestor(
    ancestor_ref: AncestorReference,
    policy: &Written,
    found: &[Finding],
    concerns: impl Fn(&Finding) -> bool,
    warnings: &[String],
) -> PolicyAncestor {
    let found: Vec<&Finding> = found.iter().filter(|finding| concerns(finding)).collect();
    let warned = (!warnings.is_empty()).then(|| Condition {
        kind: WARNED.to_owned(),
        status: "True".to_owned(),
        reason: "ApiServerRefused".to_owned(),
        message: cut(warnings.join("; ")),
        last_transition_time: String::new(),
        observed_generation: policy.generation,
    });
    PolicyAncestor {
        ancestor_ref,
        controller_name: CONTROLLER.to_owned(),
        conditions: [accepted(&found, policy.generation)]
            .into_iter()
            .chain(warned)
            .collect(),
    }
}

/// Whether an object is accepted in which that was found, without the time.
pub(super) fn accepted(found: &[&Finding], generation: Option<i64>) -> Condition {
    let reason = found
        .iter()
        .map(|finding| reason(finding))
        .max()
        .unwrap_or(Reason::Accepted);
    let told = found.iter().map(|finding| match finding.field.to_string() {
        field if field.is_empty() => finding.reason.clone(),
        field => format!("{field}: {}", finding.reason),
    });
    let told = told.collect::<Vec<_>>().join("; ");
    Condition {
        kind: ACCEPTED.to_owned(),
        status: if reason == Reason::Accepted { "True" } else { "False" }.to_owned(),
        reason: reason.label().to_owned(),
        message: cut(if told.is_empty() { "It holds".to_owned() } else { told }),
        last_transition_time: String::new(),
        observed_generation: generation,
    }
}

/// What a finding means for who has written the object.
fn reason(finding: &Finding) -> Reason {
    let below = |field: &str| finding.field.steps().starts_with(Field::at(field).steps());
    match finding.severity {
        Severity::Error => Reason::Invalid,
        Severity::Notice if below("spec.targetRefs") => Reason::TargetNotFound,
        Severity::Notice if below("spec.mtls") => Reason::Conflicted,
        Severity::Notice => Reason::Accepted,
    }
}

/// Ports which are Strict although the API server calls them.
fn warnings(policy: &Written, services: &BTreeMap<ObjectName, Arc<Service>>, callers: &[Caller]) -> Vec<String> {
    let Some(Object::AuthenticationPolicy(policy)) = &policy.object else {
        return Vec::new();
    };
    let refused = callers.iter().filter(|caller| {
        let mut services = services.values();
        services.any(|service| caller.is_refused_by(policy, service))
    });
    let refused = refused.map(|caller| format!("{caller}, which comes in plaintext: `plaintextFrom` has to let it in"));
    refused.collect()
}

fn target_of(object: &Object) -> Option<&Target> {
    match object {
        Object::AuthenticationPolicy(policy) => Some(&policy.target),
        Object::AuthorizationPolicy(policy) => Some(&policy.target),
        Object::Namespace(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::Node(_)
        | Object::MeshConfig(_)
        | Object::NetworkPolicy(_)
        | Object::Route(_) => None,
    }
}

/// Puts what is ours into a status, with the times of what has not changed. What others say stays.
fn with_times(own: Vec<PolicyAncestor>, before: &PolicyStatus, now: Timestamp) -> PolicyStatus {
    let others = before
        .ancestors
        .iter()
        .filter(|ancestor| ancestor.controller_name != CONTROLLER);
    let mut ancestors: Vec<PolicyAncestor> = others.cloned().collect();
    for mut ancestor in own {
        let mut known = before.ancestors.iter();
        let known =
            known.find(|known| known.controller_name == CONTROLLER && known.ancestor_ref == ancestor.ancestor_ref);
        for condition in &mut ancestor.conditions {
            let known = known.map_or(&[][..], |known| &known.conditions);
            condition.last_transition_time = transition(condition, known, now);
        }
        ancestors.push(ancestor);
    }
    ancestors.truncate(MOST_ANCESTORS);
    PolicyStatus { ancestors }
}

/// Since when a condition is so, by those that are known.
pub(super) fn transition(condition: &Condition, known: &[Condition], now: Timestamp) -> String {
    let mut known = known.iter();
    let same = known.find(|known| known.kind == condition.kind && known.status == condition.status);
    match same {
        Some(same) => same.last_transition_time.clone(),
        None => now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

/// Whether one of the conditions says that it is not accepted.
pub(super) fn refuses(conditions: &[Condition]) -> bool {
    let mut conditions = conditions.iter();
    conditions.any(|condition| condition.kind == ACCEPTED && condition.status != "True")
}

pub(super) fn cut(mut message: String) -> String {
    let end = message.floor_char_boundary(LONGEST_MESSAGE);
    message.truncate(end);
    message
}

// === impl Reason ===

impl Reason {
    /// As GEP-713 names it.
    fn label(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Conflicted => "Conflicted",
            Self::TargetNotFound => "TargetNotFound",
            Self::Invalid => "Invalid",
        }
    }
}

/// Who says it.
pub(super) const CONTROLLER: &str = "weft.dev/controller";
pub(super) const ACCEPTED: &str = "Accepted";
const WARNED: &str = "Warned";
/// As many as GEP-713 permits.
const MOST_ANCESTORS: usize = 16;
const LONGEST_MESSAGE: usize = 32_768;

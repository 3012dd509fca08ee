//! The Services that a route is bound to, and those to which it sends.

use serde::{Deserialize, Serialize};

use super::filter::{self, Filter};
use crate::{
    cluster::field::{Field, Findings},
    model::{BackendTarget, ObjectName, Parent, WeightedBackend},
};

/// What a route is bound to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParentRef {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
    section_name: Option<String>,
    port: Option<i64>,
}

/// To what requests are sent, or copies of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectReference {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
    port: Option<i64>,
}

/// The same with its weight, and what happens to its requests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackendRef {
    group: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: String,
    port: Option<i64>,
    weight: Option<i64>,
    filters: Option<Vec<Filter>>,
}

/// Reads those parents which are Services; the others are another controller's.
pub(super) fn parents(written: Vec<ParentRef>, namespace: &str, findings: &mut Findings) -> Vec<Parent> {
    let field = Field::at("spec.parentRefs");
    let mut parents = Vec::new();
    for (index, parent) in written.into_iter().enumerate() {
        let ParentRef {
            group,
            kind,
            namespace: other,
            name,
            section_name,
            port,
        } = parent;
        if group.as_deref() != Some("") || kind.as_deref() != Some(SERVICE) {
            continue;
        }
        parents.push(Parent {
            index,
            service: ObjectName::new(other.as_deref().unwrap_or(namespace), name),
            port: port.and_then(|port| number(port, &field.index(index).key("port"), findings)),
            section: section_name.filter(|name| !name.is_empty()).map(Into::into),
        });
    }
    parents
}

/// Reads a backend; only in the filters of rules is `matched` of use: the prefix by which a rule matches.
pub(super) fn backend(
    written: BackendRef,
    namespace: &str,
    matched: Option<&str>,
    field: &Field,
    findings: &mut Findings,
) -> WeightedBackend {
    let BackendRef {
        group,
        kind,
        namespace: other,
        name,
        port,
        weight,
        filters,
    } = written;
    let reference = ObjectReference {
        group,
        kind,
        namespace: other,
        name,
        port,
    };
    let weight = weight.unwrap_or(1);
    let weight = u32::try_from(weight).map_err(|_negative| format!("{weight} is not a weight"));
    WeightedBackend {
        target: target(reference, namespace, field, findings),
        weight: findings.accept(&field.key("weight"), weight).unwrap_or_default(),
        filters: filter::filters(filters, namespace, matched, &field.key("filters"), findings),
    }
}

/// Reads what a reference means.
pub(super) fn target(
    written: ObjectReference,
    namespace: &str,
    field: &Field,
    findings: &mut Findings,
) -> BackendTarget {
    let ObjectReference {
        group,
        kind,
        namespace: other,
        name,
        port,
    } = written;
    let (group, kind) = (group.unwrap_or_default(), kind.unwrap_or_else(|| SERVICE.to_owned()));
    if !group.is_empty() || kind != SERVICE {
        let kind = match group.is_empty() {
            true => kind,
            false => format!("{group}/{kind}"),
        };
        return BackendTarget::OtherKind { kind: kind.into() };
    }
    let field = field.key("port");
    if port.is_none() {
        findings.error(field.clone(), "missing: a Service needs one");
    }
    BackendTarget::Service {
        service: ObjectName::new(other.as_deref().unwrap_or(namespace), name),
        port: port.and_then(|port| number(port, &field, findings)).unwrap_or_default(),
    }
}

/// Reads the number of a port.
pub(super) fn number(written: i64, field: &Field, findings: &mut Findings) -> Option<u16> {
    let number = u16::try_from(written).ok().filter(|number| *number > 0);
    findings.accept(
        field,
        number.ok_or_else(|| format!("{written} is not the number of a port")),
    )
}

const SERVICE: &str = "Service";

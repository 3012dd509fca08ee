//! `targetRefs` and `selector` of policies: which pods they hold for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{
    field::{Field, Findings},
    names::Rule,
};
use crate::model::{ServiceTarget, Target};

/// A `targetRefs` entry as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TargetRef {
    #[serde(default)]
    group: String,
    kind: String,
    name: String,
    section_name: Option<String>,
}

/// A `selector` as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selector {
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
}

/// Reads for which pods a policy holds.
///
/// Where that is not understood, it is all that it could be: it denies them.
pub(super) fn target(
    target_refs: Option<Vec<TargetRef>>,
    selector: Option<Selector>,
    findings: &mut Findings,
) -> Target {
    if [TARGET_REFS, SELECTOR]
        .iter()
        .any(|field| findings.is_partial_below(&Field::at(field)))
    {
        return Target::All;
    }
    match (target_refs, selector) {
        (None, None) => Target::All,
        (Some(_), Some(_)) => {
            findings.error(
                Field::at(SELECTOR),
                "a policy has `targetRefs` or a `selector`, not both",
            );
            Target::All
        }
        (None, Some(selector)) if selector.match_labels.is_empty() => Target::All,
        (None, Some(selector)) => Target::Selector(selector.match_labels),
        (Some(target_refs), None) => services(target_refs, findings),
    }
}

fn services(target_refs: Vec<TargetRef>, findings: &mut Findings) -> Target {
    let field = Field::at(TARGET_REFS);
    if target_refs.is_empty() {
        findings.error(
            field,
            "an empty list is no target: leave it out to mean the whole namespace",
        );
        return Target::All;
    }
    let mut services = Vec::new();
    for (index, target_ref) in target_refs.into_iter().enumerate() {
        let field = field.index(index);
        let TargetRef {
            group,
            kind,
            name,
            section_name,
        } = target_ref;
        if !group.is_empty() || kind != "Service" {
            findings.unhonoured(
                field.key("kind"),
                format!(
                    "`{}{kind}` cannot be targeted, only a Service (group \"\")",
                    prefix(&group)
                ),
            );
            return Target::All;
        }
        findings.accept(&field.key("name"), Rule::Label.check(&name));
        if let Some(section) = &section_name {
            findings.accept(&field.key("sectionName"), Rule::Label.check(section));
        }
        services.push(ServiceTarget {
            service: name.into(),
            section: section_name.map(Into::into),
        });
    }
    Target::Services(services)
}

fn prefix(group: &str) -> String {
    if group.is_empty() {
        String::new()
    } else {
        format!("{group}/")
    }
}

const TARGET_REFS: &str = "spec.targetRefs";

const SELECTOR: &str = "spec.selector";

//! `targetRefs` and `selector` of policies: which pods they hold for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        field::{Field, Findings},
        names::Rule,
    },
    written::Label,
};
use crate::model::{ServiceTarget, Target};

/// A Service for whose pods a policy holds.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind == 'Service' && (!has(self.group) || self.group == '')")
        .message("only a Service (group \"\") can be targeted")
)]
pub(super) struct TargetRef {
    /// The group of its kind: the empty one, of Kubernetes' core.
    #[serde(default)]
    #[schemars(length(max = 253))]
    group: String,
    /// Its kind: `Service`.
    #[schemars(length(min = 1, max = 63))]
    kind: String,
    /// Its name, in the policy's own namespace.
    name: Label,
    /// The name of one of its ports: the policy then holds for the pods' port behind it alone.
    section_name: Option<Label>,
}

/// The pods for which a policy holds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selector {
    /// All of these labels.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
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
        findings.accept(&field.key("name"), Rule::Label.check(name.as_ref()));
        if let Some(section) = &section_name {
            findings.accept(&field.key("sectionName"), Rule::Label.check(section.as_ref()));
        }
        services.push(ServiceTarget {
            service: name.as_ref().into(),
            section: section_name.map(|section| section.as_ref().into()),
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

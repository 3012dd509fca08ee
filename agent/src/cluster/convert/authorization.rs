//! `AuthorizationPolicy`, Weft's own kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    super::field::{Field, Findings},
    operation::{To, operation},
    source::{From, source},
    target::{Selector, TargetRef, target},
};
use crate::model::{Action, AuthorizationPolicy, ObjectName, Rule};

/// The object as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorizationManifest {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    status: Option<Json>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    target_refs: Option<Vec<TargetRef>>,
    selector: Option<Selector>,
    action: Option<String>,
    rules: Option<Vec<RuleManifest>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct RuleManifest {
    from: Option<Vec<From>>,
    to: Option<Vec<To>>,
}

/// Reads an AuthorizationPolicy.
pub(crate) fn authorization(
    manifest: AuthorizationManifest,
    name: &ObjectName,
    findings: &mut Findings,
) -> Option<AuthorizationPolicy> {
    let AuthorizationManifest {
        api_version: _,
        kind: _,
        metadata: _,
        spec,
        status: _,
    } = manifest;
    let Spec {
        target_refs,
        selector,
        action: written_action,
        rules: written_rules,
    } = spec;
    let action = action(written_action.as_deref(), findings);
    let written_rules = written_rules.unwrap_or_default().into_iter().enumerate();
    let policy = AuthorizationPolicy {
        name: name.clone(),
        target: target(target_refs, selector, findings),
        action,
        rules: written_rules
            .map(|(index, written)| rule(written, action, &Field::at("spec.rules").index(index), findings))
            .collect(),
        support: findings.support(),
    };
    findings.admit(policy)
}

fn action(written: Option<&str>, findings: &mut Findings) -> Action {
    match written {
        None | Some("ALLOW") => Action::Allow,
        Some("DENY") => Action::Deny,
        Some("AUDIT") => Action::Audit,
        Some(other) => {
            findings.unhonoured(
                Field::at("spec.action"),
                format!("`{other}` is none of ALLOW, DENY, AUDIT"),
            );
            Action::Deny
        }
    }
}

fn rule(written: RuleManifest, action: Action, field: &Field, findings: &mut Findings) -> Rule {
    let RuleManifest { from, to } = written;
    let (from_field, to_field) = (field.key("from"), field.key("to"));
    let from = given(from, &from_field, findings).into_iter().enumerate();
    let from = from
        .map(|(index, written)| source(written, action, &from_field.index(index), findings))
        .collect();
    let to = given(to, &to_field, findings).into_iter().enumerate();
    let to = to
        .map(|(index, written)| operation(written, action, &to_field.index(index), findings))
        .collect();
    Rule { from, to }
}

/// A list that may be left out but not be empty: who writes an empty one hardly means everything.
pub(super) fn given<T>(list: Option<Vec<T>>, field: &Field, findings: &mut Findings) -> Vec<T> {
    let Some(list) = list else { return Vec::new() };
    if list.is_empty() {
        findings.error(
            field.clone(),
            "an empty list matches nothing: leave it out to match everything",
        );
    }
    list
}

/// Tells that a field is about what only an L7 protocol tells, and what comes of it.
pub(super) fn needs_l7<T>(list: Option<&T>, action: Action, field: &Field, findings: &mut Findings) -> bool {
    if list.is_none() {
        return false;
    }
    let consequence = match action {
        Action::Allow => "it lets nobody in",
        Action::Deny => "the rule denies as if the field were left out",
        Action::Audit => "the rule records as if the field were left out",
    };
    findings.notice(field.clone(), format!("needs L7, which is not read: {consequence}"));
    true
}

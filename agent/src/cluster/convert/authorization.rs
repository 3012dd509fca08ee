//! `AuthorizationPolicy`, Weft's own kind.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::field::{Field, Findings},
    operation::{To, operation},
    source::{From, source},
    status::PolicyStatus,
    target::{Selector, TargetRef, target},
    written,
};
use crate::model::{Action, AuthorizationPolicy, ObjectName, Rule};

/// For which pods the policy holds, and whom it concerns. With neither `targetRefs` nor `selector` it holds for all pods of its
/// namespace; in the mesh's system namespace, for those of all namespaces.
#[derive(Clone, Debug, Default, Deserialize, Serialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "mesh.weft.dev",
    version = "v1alpha1",
    kind = "AuthorizationPolicy",
    root = "AuthorizationManifest",
    plural = "authorizationpolicies",
    shortname = "authzpol",
    category = "weft",
    namespaced,
    status = "PolicyStatus",
    doc = "Who may connect, by identity, namespace, pod labels, address and port.",
    printcolumn = r#"{"name": "Action", "type": "string", "jsonPath": ".spec.action", "description": "What becomes of a match"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.ancestors[0].conditions[?(@.type==\"Accepted\")].status", "description": "Whether the policy is understood"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("!(has(self.targetRefs) && has(self.selector))")
        .message("a policy has targetRefs or a selector, not both")
)]
pub(crate) struct AuthorizationSpec {
    /// The Services for whose pods the policy holds; with `sectionName`, for the port behind it alone.
    #[schemars(length(min = 1, max = 16))]
    target_refs: Option<Vec<TargetRef>>,
    /// The pods for which the policy holds.
    selector: Option<Selector>,
    /// What becomes of a connection that a rule matches: `ALLOW` (the default; where one such policy holds, whatever none of
    /// them matches is denied), `DENY` (goes before ALLOW), or `AUDIT` (decides nothing and is recorded).
    action: Option<written::Action>,
    /// What the policy matches: a connection that one of them matches. Without rules nothing is matched.
    #[schemars(length(max = 64))]
    rules: Option<Vec<RuleManifest>>,
}

/// A connection that one of `from` and one of `to` match; a list that is left out matches everything.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
struct RuleManifest {
    /// Who connects.
    #[schemars(length(min = 1, max = 16))]
    from: Option<Vec<From>>,
    /// Where the connection goes.
    #[schemars(length(min = 1, max = 16))]
    to: Option<Vec<To>>,
}

/// Reads an AuthorizationPolicy.
pub(crate) fn authorization(
    manifest: AuthorizationManifest,
    name: &ObjectName,
    findings: &mut Findings,
) -> Option<AuthorizationPolicy> {
    let AuthorizationManifest {
        metadata: _,
        spec,
        status: _,
    } = manifest;
    let AuthorizationSpec {
        target_refs,
        selector,
        action: written_action,
        rules: written_rules,
    } = spec;
    let action = action(written_action, findings);
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

fn action(written: Option<written::Action>, findings: &mut Findings) -> Action {
    match written {
        None | Some(written::Action::Allow) => Action::Allow,
        Some(written::Action::Deny) => Action::Deny,
        Some(written::Action::Audit) => Action::Audit,
        Some(written::Action::Unsupported(other)) => {
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

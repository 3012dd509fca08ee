//! `rules[].from[]` of an AuthorizationPolicy.

use std::{collections::BTreeMap, sync::Arc};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        field::{Field, Findings},
        names::Rule,
    },
    authorization::{given, needs_l7},
    range, written,
    written::{Cidr, Label},
};
use crate::model::{Action, Identity, IpBlock, Principal, Source};

/// Who connects: all fields that are given match, and of each list one item. Who comes in plaintext has proven nothing: fields
/// about identity, namespace and labels then never match in an ALLOW policy, and their `not` forms match in the others.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct From {
    /// The identity: `namespace/account`, `namespace/*`, `*` (any that is proven), or
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. Without a trust domain the mesh's own is meant.
    #[schemars(length(min = 1, max = 64))]
    principals: Option<Vec<written::Principal>>,
    /// What `principals` does not match.
    #[schemars(length(min = 1, max = 64))]
    not_principals: Option<Vec<written::Principal>>,
    /// The namespace of the identity, of the mesh's own trust domain.
    #[schemars(length(min = 1, max = 64))]
    namespaces: Option<Vec<Label>>,
    /// What `namespaces` does not match.
    #[schemars(length(min = 1, max = 64))]
    not_namespaces: Option<Vec<Label>>,
    /// All of these labels of the client's pod. Pods of every namespace can carry them: name `namespaces` or `principals`
    /// beside them.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 64))]
    pod_labels: Option<BTreeMap<String, String>>,
    /// What `podLabels` does not match.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 64))]
    not_pod_labels: Option<BTreeMap<String, String>>,
    /// The client's address.
    #[schemars(length(min = 1, max = 16))]
    ip_blocks: Option<Vec<Block>>,
    /// What `ipBlocks` does not match.
    #[schemars(length(min = 1, max = 16))]
    not_ip_blocks: Option<Vec<Block>>,
    /// Claims of the end user's token. Needs L7, which is not honoured yet: ALLOW then matches nobody, DENY and AUDIT match as
    /// if it were left out.
    #[schemars(length(max = 64))]
    claims: Option<Vec<Claim>>,
}

/// A range of addresses with holes, as NetworkPolicies write it.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.except) || self.except.all(hole, cidr(self.cidr).containsCIDR(hole))")
        .message("each of except must lie within cidr")
)]
struct Block {
    /// The range.
    cidr: Cidr,
    /// What lies within it and does not belong to it.
    #[serde(default)]
    #[schemars(length(max = 8))]
    except: Vec<Cidr>,
}

/// A claim of an end user's token.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Claim {
    /// Its name.
    name: String,
    /// Its value.
    #[schemars(length(max = 64))]
    values: Option<Vec<String>>,
    /// What `values` does not match.
    #[schemars(length(max = 64))]
    not_values: Option<Vec<String>>,
}

pub(super) fn source(written: From, action: Action, field: &Field, findings: &mut Findings) -> Source {
    let From {
        principals: written_principals,
        not_principals,
        namespaces: written_namespaces,
        not_namespaces,
        pod_labels,
        not_pod_labels,
        ip_blocks,
        not_ip_blocks,
        claims,
    } = written;
    if pod_labels.is_some() && written_principals.is_none() && written_namespaces.is_none() && action == Action::Allow {
        findings.notice(
            field.key("podLabels"),
            "pods of every namespace can carry these labels: name `namespaces` or `principals` beside them",
        );
    }
    Source {
        principals: principals(written_principals, &field.key("principals"), findings),
        not_principals: principals(not_principals, &field.key("notPrincipals"), findings),
        namespaces: namespaces(written_namespaces, &field.key("namespaces"), findings),
        not_namespaces: namespaces(not_namespaces, &field.key("notNamespaces"), findings),
        pod_labels: labels(pod_labels, &field.key("podLabels"), findings),
        not_pod_labels: labels(not_pod_labels, &field.key("notPodLabels"), findings),
        ip_blocks: blocks(ip_blocks, &field.key("ipBlocks"), findings),
        not_ip_blocks: blocks(not_ip_blocks, &field.key("notIpBlocks"), findings),
        needs_l7: needs_l7(claims.as_ref(), action, &field.key("claims"), findings),
    }
}

fn principals(written: Option<Vec<written::Principal>>, field: &Field, findings: &mut Findings) -> Vec<Principal> {
    let written = given(written, field, findings);
    let written = written.iter().enumerate();
    written
        .filter_map(|(index, text)| {
            let principal = principal(text.as_ref()).ok_or_else(|| {
                format!(
                    "`{text}` is no identity: write `namespace/account`, `namespace/*`, `*`, or the same as \
                     spiffe://<trust domain>/ns/<namespace>/sa/<account>"
                )
            });
            findings.accept(&field.index(index), principal)
        })
        .collect()
}

fn principal(text: &str) -> Option<Principal> {
    if text == "*" {
        return Some(Principal::Any);
    }
    // An identity has no `*`, which is checked for beside all else that an identity may not have.
    let (whole, any_account) = match text.strip_suffix("/*") {
        Some(rest) => (format!("{rest}/{ANY_ACCOUNT}"), true),
        None => (text.to_owned(), false),
    };
    let (identity, written_domain) = match whole.strip_prefix("spiffe://") {
        Some(_) => (whole.parse::<Identity>().ok()?, true),
        None => {
            let (namespace, account) = whole.split_once('/')?;
            let uri = format!("spiffe://own/ns/{namespace}/sa/{account}");
            (uri.parse::<Identity>().ok()?, false)
        }
    };
    let Identity {
        trust_domain,
        namespace,
        service_account,
    } = identity;
    let trust_domain = written_domain.then_some(trust_domain);
    Some(if any_account {
        Principal::Namespace {
            trust_domain,
            namespace,
        }
    } else {
        Principal::Account {
            trust_domain,
            namespace,
            service_account,
        }
    })
}

fn namespaces(written: Option<Vec<Label>>, field: &Field, findings: &mut Findings) -> Vec<Arc<str>> {
    let written = given(written, field, findings);
    for (index, name) in written.iter().enumerate() {
        findings.accept(&field.index(index), Rule::Label.check(name.as_ref()));
    }
    written.iter().map(|name| name.as_ref().into()).collect()
}

fn labels(
    written: Option<BTreeMap<String, String>>,
    field: &Field,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let Some(labels) = written else { return BTreeMap::new() };
    if labels.is_empty() {
        findings.error(field.clone(), "no label: leave it out to match everything");
    }
    labels
}

fn blocks(written: Option<Vec<Block>>, field: &Field, findings: &mut Findings) -> Vec<IpBlock> {
    let written = given(written, field, findings);
    let written = written.iter().enumerate();
    written
        .filter_map(|(index, block)| {
            let field = field.index(index);
            let Block { cidr, except } = block;
            let cidr = range(cidr.as_ref(), &field.key("cidr"), findings)?;
            let mut holes = Vec::new();
            for (index, hole) in except.iter().enumerate() {
                let field = field.key("except").index(index);
                let Some(hole) = range(hole.as_ref(), &field, findings) else {
                    continue;
                };
                if !cidr.contains(&hole) {
                    findings.error(field, format!("{hole} is not within {cidr}"));
                }
                holes.push(hole);
            }
            Some(IpBlock { cidr, except: holes })
        })
        .collect()
}

/// Stands in for `*` while an identity is read.
const ANY_ACCOUNT: &str = "any";

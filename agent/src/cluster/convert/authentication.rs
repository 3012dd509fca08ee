//! `AuthenticationPolicy`, Weft's own kind.

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::field::{Field, Findings},
    port, range,
    status::PolicyStatus,
    target::{Selector, TargetRef, target},
    written::{Cidr, Mode, PortNumber},
};
use crate::model::{AuthenticationPolicy, MtlsMode, ObjectName, PortMtls, WrittenMtls};

/// For which pods the policy holds, and how their peers prove who they are. With neither `targetRefs` nor `selector` it holds
/// for all pods of its namespace; in the mesh's system namespace, for those of all namespaces.
#[derive(Clone, Debug, Default, Deserialize, Serialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "mesh.weft.dev",
    version = "v1alpha1",
    kind = "AuthenticationPolicy",
    root = "AuthenticationManifest",
    plural = "authenticationpolicies",
    shortname = "authnpol",
    category = "weft",
    namespaced,
    status = "PolicyStatus",
    doc = "Whether peers must prove who they are by mutual TLS or may come in plaintext too.",
    printcolumn = r#"{"name": "Mode", "type": "string", "jsonPath": ".spec.mtls.mode", "description": "The mode of mutual TLS"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.ancestors[0].conditions[?(@.type==\"Accepted\")].status", "description": "Whether the policy is understood"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[x_kube(
    validation = Rule::new("!(has(self.targetRefs) && has(self.selector))")
        .message("a policy has targetRefs or a selector, not both")
)]
pub(crate) struct AuthenticationSpec {
    /// The Services for whose pods the policy holds; with `sectionName`, for the port behind it alone.
    #[schemars(length(min = 1, max = 16))]
    target_refs: Option<Vec<TargetRef>>,
    /// The pods for which the policy holds.
    selector: Option<Selector>,
    /// How peers prove who they are. What is left out comes from the next less specific policy.
    mtls: Option<Mtls>,
}

/// How peers prove who they are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
struct Mtls {
    /// `Strict` refuses plaintext, `Permissive` takes it too.
    mode: Option<Mode>,
    /// Ranges from which plaintext is taken although the mode is Strict.
    #[schemars(length(max = 64))]
    plaintext_from: Option<Vec<Cidr>>,
    /// The same for single ports of the pods.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["port".into()]))]
    ports: Option<Vec<Port>>,
}

/// How peers of one port prove who they are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Port {
    /// The port of the pod, which is not the Service's where `targetPort` differs.
    port: PortNumber,
    /// `Strict` refuses plaintext, `Permissive` takes it too.
    mode: Option<Mode>,
    /// Ranges from which plaintext is taken although the mode is Strict.
    #[schemars(length(max = 64))]
    plaintext_from: Option<Vec<Cidr>>,
}

/// Reads an AuthenticationPolicy.
pub(crate) fn authentication(
    manifest: AuthenticationManifest,
    name: &ObjectName,
    findings: &mut Findings,
) -> Option<AuthenticationPolicy> {
    let AuthenticationManifest {
        metadata,
        spec,
        status: _,
    } = manifest;
    let AuthenticationSpec {
        target_refs,
        selector,
        mtls: written,
    } = spec;
    let policy = AuthenticationPolicy {
        name: name.clone(),
        created: metadata.creation_timestamp.map(|time| time.0.as_second()),
        target: target(target_refs, selector, findings),
        mtls: mtls(written.unwrap_or_default(), findings),
        support: findings.support(),
    };
    findings.admit(policy)
}

fn mtls(written: Mtls, findings: &mut Findings) -> WrittenMtls {
    let field = Field::at("spec.mtls");
    let Mtls {
        mode: written_mode,
        plaintext_from,
        ports,
    } = written;
    let mut of_ports = BTreeMap::new();
    for (index, written) in ports.unwrap_or_default().into_iter().enumerate() {
        let field = field.key("ports").index(index);
        let Port {
            port: number,
            mode: written_mode,
            plaintext_from,
        } = written;
        let Some(number) = port::number(number.written(), &field.key("port"), findings) else {
            continue;
        };
        let of_port = PortMtls {
            mode: mode(written_mode, &field, findings),
            plaintext_from: ranges(plaintext_from, &field, findings),
        };
        if of_ports.insert(number, of_port).is_some() {
            findings.error(field.key("port"), format!("{number} stands already further up"));
        }
    }
    WrittenMtls {
        mode: mode(written_mode, &field, findings),
        plaintext_from: ranges(plaintext_from, &field, findings),
        ports: of_ports,
    }
}

fn mode(written: Option<Mode>, field: &Field, findings: &mut Findings) -> Option<MtlsMode> {
    match written? {
        Mode::Permissive => Some(MtlsMode::Permissive),
        Mode::Strict => Some(MtlsMode::Strict),
        Mode::Unsupported(other) => {
            findings.unhonoured(
                field.key("mode"),
                format!("`{other}` is neither `Permissive` nor `Strict`"),
            );
            None
        }
    }
}

fn ranges(written: Option<Vec<Cidr>>, field: &Field, findings: &mut Findings) -> Option<Arc<[IpNet]>> {
    let field = field.key("plaintextFrom");
    let ranges = written?;
    let ranges = ranges.iter().enumerate();
    Some(
        ranges
            .filter_map(|(index, text)| range(text.as_ref(), &field.index(index), findings))
            .collect(),
    )
}

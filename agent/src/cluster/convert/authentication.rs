//! `AuthenticationPolicy`, Weft's own kind.

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    super::field::{Field, Findings},
    port, range,
    target::{Selector, TargetRef, target},
};
use crate::model::{AuthenticationPolicy, MtlsMode, ObjectName, PortMtls, WrittenMtls};

/// The object as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthenticationManifest {
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
    mtls: Option<Mtls>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mtls {
    mode: Option<String>,
    plaintext_from: Option<Vec<String>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    port: i32,
    mode: Option<String>,
    plaintext_from: Option<Vec<String>>,
}

/// Reads an AuthenticationPolicy.
pub(crate) fn authentication(
    manifest: AuthenticationManifest,
    name: &ObjectName,
    findings: &mut Findings,
) -> Option<AuthenticationPolicy> {
    let AuthenticationManifest {
        api_version: _,
        kind: _,
        metadata,
        spec,
        status: _,
    } = manifest;
    let Spec {
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
        let Some(number) = port::number(number, &field.key("port"), findings) else {
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

fn mode(written: Option<String>, field: &Field, findings: &mut Findings) -> Option<MtlsMode> {
    match written?.as_str() {
        "Permissive" => Some(MtlsMode::Permissive),
        "Strict" => Some(MtlsMode::Strict),
        other => {
            findings.unhonoured(
                field.key("mode"),
                format!("`{other}` is neither `Permissive` nor `Strict`"),
            );
            None
        }
    }
}

fn ranges(written: Option<Vec<String>>, field: &Field, findings: &mut Findings) -> Option<Arc<[IpNet]>> {
    let field = field.key("plaintextFrom");
    let ranges = written?;
    let ranges = ranges.iter().enumerate();
    Some(
        ranges
            .filter_map(|(index, text)| range(text, &field.index(index), findings))
            .collect(),
    )
}

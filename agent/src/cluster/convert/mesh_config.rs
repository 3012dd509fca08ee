//! `MeshConfig`, Weft's own kind: unknown fields and values are refused, since skipping one in silence could open what
//! its author wants closed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        field::{Field, Findings},
        names::Rule,
    },
    range,
};
use crate::model::{EgressMode, MeshConfig, MtlsMode};

/// The object as manifests write it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MeshConfigManifest {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    trust_domain: Option<String>,
    cluster_domain: Option<String>,
    egress: Option<Egress>,
    deny_udp_egress: Option<bool>,
    mtls: Option<Mtls>,
    system_namespace: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Egress {
    Allow,
    Deny,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mtls {
    mode: Option<Mode>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Mode {
    Permissive,
    Strict,
}

/// The only name that is read.
const NAME: &str = "default";

/// Reads a MeshConfig.
pub(crate) fn mesh_config(manifest: MeshConfigManifest, findings: &mut Findings) -> Option<MeshConfig> {
    let MeshConfigManifest {
        api_version: _,
        kind: _,
        metadata,
        spec,
    } = manifest;
    let Spec {
        trust_domain,
        cluster_domain,
        egress,
        deny_udp_egress,
        mtls,
        system_namespace,
        pod_cidrs,
    } = spec;
    let defaults = MeshConfig::default();
    if metadata.name.as_deref() != Some(NAME) {
        findings.error(
            Field::at("metadata.name"),
            format!("only the MeshConfig named `{NAME}` is read"),
        );
    }
    let mut domain = |value: Option<String>, default: String, field: &str| {
        let value = value.unwrap_or(default);
        findings.accept(&Field::at(field), Rule::Subdomain.check(&value));
        value
    };
    let trust_domain = domain(trust_domain, defaults.trust_domain, "spec.trustDomain");
    let cluster_domain = domain(cluster_domain, defaults.cluster_domain, "spec.clusterDomain");
    let system_namespace = system_namespace.unwrap_or(defaults.system_namespace);
    findings.accept(&Field::at("spec.systemNamespace"), Rule::Label.check(&system_namespace));
    let mtls = match mtls.and_then(|mtls| mtls.mode) {
        None => defaults.mtls,
        Some(Mode::Permissive) => MtlsMode::Permissive,
        Some(Mode::Strict) => MtlsMode::Strict,
    };
    let pod_cidrs = pod_cidrs.unwrap_or_default();
    let pod_cidrs = pod_cidrs.iter().enumerate();
    let pod_cidrs = pod_cidrs
        .filter_map(|(index, cidr)| range(cidr, &Field::at("spec.podCIDRs").index(index), findings))
        .collect();
    let egress = match egress {
        None => defaults.egress,
        Some(Egress::Allow) => EgressMode::Allow,
        Some(Egress::Deny) => EgressMode::Deny,
    };
    let deny_udp_egress = deny_udp_egress.unwrap_or(defaults.deny_udp_egress);
    findings.admit(MeshConfig {
        trust_domain,
        cluster_domain,
        egress,
        deny_udp_egress,
        pod_cidrs,
        mtls,
        system_namespace,
    })
}

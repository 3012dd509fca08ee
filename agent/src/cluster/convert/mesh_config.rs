//! `MeshConfig`, Weft's own kind: unknown fields and values are refused, since skipping one in silence could open what
//! its author wants closed.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        field::{Field, Findings},
        names::Rule,
    },
    range,
    status::MeshConfigStatus,
    written::{Cidr, Label, Subdomain},
};
use crate::model::{EgressMode, MeshConfig, MtlsMode};

/// What holds for the whole mesh; a value that is left out has its default.
#[derive(Clone, Debug, Default, Deserialize, Serialize, CustomResource, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[kube(
    group = "mesh.weft.dev",
    version = "v1alpha1",
    kind = "MeshConfig",
    root = "MeshConfigManifest",
    plural = "meshconfigs",
    category = "weft",
    status = "MeshConfigStatus",
    doc = "What holds for the whole mesh. Only the one that is named `default` is read.",
    validation = Rule::new("self.metadata.name == 'default'").message("only the MeshConfig named default is read"),
    printcolumn = r#"{"name": "TrustDomain", "type": "string", "jsonPath": ".spec.trustDomain"}"#,
    printcolumn = r#"{"name": "mTLS", "type": "string", "jsonPath": ".spec.mtls.mode"}"#,
    printcolumn = r#"{"name": "Egress", "type": "string", "jsonPath": ".spec.egress"}"#,
    printcolumn = r#"{"name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status", "description": "Whether it is understood"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
pub(crate) struct MeshConfigSpec {
    /// The trust domain of the mesh's identities: `cluster.local` where it is left out.
    trust_domain: Option<Subdomain>,
    /// The domain of the cluster's Services: `cluster.local` where it is left out.
    cluster_domain: Option<Subdomain>,
    /// What becomes of connections to addresses that are nobody's in the mesh.
    egress: Option<Egress>,
    /// Whether UDP that enrolled pods send out of the cluster is refused: not by default.
    deny_udp_egress: Option<bool>,
    /// Mutual TLS where no AuthenticationPolicy says it.
    mtls: Option<Mtls>,
    /// The namespace whose policies hold for the whole mesh: `weft-system` where it is left out.
    system_namespace: Option<Label>,
    /// The ranges of the cluster's pods: those of the Nodes where they are left out.
    #[serde(rename = "podCIDRs")]
    #[schemars(length(max = 256))]
    pod_cidrs: Option<Vec<Cidr>>,
}

/// Whether enrolled pods may connect to addresses that are nobody's in the mesh: `Allow` (the default) or `Deny`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
enum Egress {
    /// They pass.
    Allow,
    /// They are refused.
    Deny,
}

/// Mutual TLS where no policy says it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mtls {
    /// The mode of mutual TLS.
    mode: Option<Mode>,
}

/// `Strict` refuses plaintext, `Permissive` (the default) takes it too.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
enum Mode {
    /// Plaintext is taken too.
    Permissive,
    /// Plaintext is refused.
    Strict,
}

/// The only name that is read.
const NAME: &str = "default";

/// Reads a MeshConfig.
pub(crate) fn mesh_config(manifest: MeshConfigManifest, findings: &mut Findings) -> Option<MeshConfig> {
    let MeshConfigManifest {
        metadata,
        spec,
        status: _,
    } = manifest;
    let MeshConfigSpec {
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
    let mut domain = |value: Option<Subdomain>, default: String, field: &str| {
        let value = value.map_or(default, String::from);
        findings.accept(&Field::at(field), Rule::Subdomain.check(&value));
        value
    };
    let trust_domain = domain(trust_domain, defaults.trust_domain, "spec.trustDomain");
    let cluster_domain = domain(cluster_domain, defaults.cluster_domain, "spec.clusterDomain");
    let system_namespace = system_namespace.map_or(defaults.system_namespace, String::from);
    findings.accept(&Field::at("spec.systemNamespace"), Rule::Label.check(&system_namespace));
    let mtls = match mtls.and_then(|mtls| mtls.mode) {
        None => defaults.mtls,
        Some(Mode::Permissive) => MtlsMode::Permissive,
        Some(Mode::Strict) => MtlsMode::Strict,
    };
    let pod_cidrs = pod_cidrs.unwrap_or_default();
    let pod_cidrs = pod_cidrs.iter().enumerate();
    let pod_cidrs = pod_cidrs
        .filter_map(|(index, cidr)| range(cidr.as_ref(), &Field::at("spec.podCIDRs").index(index), findings))
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

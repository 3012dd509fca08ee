//! Namespaces: only their labels matter.

use k8s_openapi::api::core::v1::Namespace as Manifest;

use super::{
    super::{
        field::{Field, Findings},
        objects::Namespace,
    },
    mesh_label,
};
use crate::model::OnAgentFailure;

/// The label of namespaces that says what happens while the agent is away.
const ON_AGENT_FAILURE_LABEL: &str = "weft.dev/on-agent-failure";

/// Reads a Namespace.
pub(crate) fn namespace(manifest: Manifest, findings: &mut Findings) -> Option<Namespace> {
    let labels = manifest.metadata.labels.unwrap_or_default();
    let on_agent_failure = match labels.get(ON_AGENT_FAILURE_LABEL).map(String::as_str) {
        None => OnAgentFailure::default(),
        Some("open") => OnAgentFailure::Open,
        Some("closed") => OnAgentFailure::Closed,
        Some(other) => {
            let field = Field::at("metadata.labels").key(ON_AGENT_FAILURE_LABEL);
            findings.error(field, format!("`{other}` is neither `open` nor `closed`"));
            OnAgentFailure::default()
        }
    };
    let namespace = Namespace {
        enrols: mesh_label(&labels, findings),
        on_agent_failure,
    };
    findings.admit(namespace)
}

//! `endpoint`: endpoints of services as the agent sees them.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
    model::EndpointView,
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.endpoints, "endpoints", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<EndpointView>, DebugError> {
    Ok(context.agent()?.get("/mesh/endpoints")?)
}

impl Row for EndpointView {
    const COLUMNS: &'static [&'static str] = &["SERVICE", "PORT", "ADDRESS", "STATE", "POD", "NODE", "ZONE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.service.clone(),
            format!("{}/{}", self.port, self.transport),
            self.address.to_string(),
            state(self).to_owned(),
            or_dash(self.pod.as_deref()),
            or_dash(self.node.as_deref()),
            or_dash(self.zone.as_deref()),
        ]
    }
}

/// What kube-proxy would make of the three conditions (KEP-1669).
fn state(endpoint: &EndpointView) -> &'static str {
    match (endpoint.ready, endpoint.serving, endpoint.terminating) {
        (true, _, _) => "ready",
        (false, true, true) => "terminating, serving",
        (false, false, true) => "terminating",
        (false, _, false) => "not ready",
    }
}

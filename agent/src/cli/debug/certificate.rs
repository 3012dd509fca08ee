//! `cert`: certificates of the node's pods, as the agent holds them.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, left, or_dash},
    model::{CertificateState, CertificateView},
};

pub(super) fn show(context: &mut Context) -> Result<Outcome, DebugError> {
    context.show(|file| file.certificates, "certificates", collect)
}

pub(super) fn collect(context: &Context) -> Result<Vec<CertificateView>, DebugError> {
    Ok(context.agent()?.get("/certificates")?)
}

impl Row for CertificateView {
    const COLUMNS: &'static [&'static str] = &[
        "POD", "STATE", "IDENTITY", "SERIAL", "LEFT", "ROOT", "CA", "CA SKEW", "REASON",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{}/{}", self.namespace, self.name),
            state(self.state).to_owned(),
            or_dash(self.identity.as_deref()),
            or_dash(self.serial.as_deref()),
            or_dash(self.seconds_left.map(left)),
            or_dash(self.root.as_deref().map(|root| root.get(..8).unwrap_or(root))),
            if self.ca_attended { "attended" } else { "away" }.to_owned(),
            format!("{:+.0}s", self.ca_skew_seconds),
            or_dash(self.reason.as_deref()),
        ]
    }
}

fn state(state: CertificateState) -> &'static str {
    match state {
        CertificateState::Valid => "valid",
        CertificateState::Expired => "expired",
        CertificateState::Waiting => "waiting",
    }
}

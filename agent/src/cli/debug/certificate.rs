//! `cert`: certificates of the node's pods, as the agent holds them.

use super::{Context, DebugError, Outcome};
use crate::{
    cli::output::{Row, or_dash},
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

/// The time that is left, in its two largest units.
fn left(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{seconds}s"),
        (0, 0, _) => format!("{sign}{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{sign}{hours}h{minutes}m"),
        _ => format!("{sign}{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_told_in_its_two_largest_units() {
        let told = [0, 59, 60, 3_599, 3_600, 90_000, -61].map(left);
        assert_eq!(told, ["0s", "59s", "1m0s", "59m59s", "1h0m", "1d1h", "-1m1s"]);
    }
}

//! `pod check`: drift between what should be in the pods' namespaces and what is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Context, DebugError, Outcome, pod, pod::PodRow};
use crate::{
    cli::output::{Row, or_dash},
    kernel::inspect::{Finding, FindingKind, Life, Namespaces, PinnedPod},
};

/// Something of a pod that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Drifted {
    /// The pod as `namespace/name`; its UID when the agent is dead.
    pod: String,
    /// Its UID.
    uid: String,
    /// What it is about, what should be and what is.
    #[serde(flatten)]
    finding: Finding,
}

pub(super) fn run(context: &mut Context, name: Option<&str>) -> Result<Outcome, DebugError> {
    context.live_only("pod check")?;
    let pods = chosen(pod::collect(context)?, name)?;
    let pins = context.pins()?;
    let agent = pins.life();
    let pinned = pins
        .pods()?
        .into_iter()
        .map(|pod| (pod.uid.clone(), pod))
        .collect::<BTreeMap<_, _>>();
    let namespaces = Namespaces::scan();
    let mut drift = Vec::new();
    for pod in &pods {
        let findings = findings(pod, pinned.get(&pod.uid), &namespaces, agent)?;
        drift.extend(findings.into_iter().map(|finding| Drifted::of(pod, finding)));
    }
    if drift.is_empty() {
        let captured = pods.iter().filter(|pod| pod.captured).count();
        context
            .output
            .done(&format!("No drift; captured pods: {captured}"), &drift)?;
        return Ok(Outcome::Done);
    }
    context.output.rows(&drift)?;
    Ok(Outcome::Drift)
}

fn chosen(pods: Vec<PodRow>, name: Option<&str>) -> Result<Vec<PodRow>, DebugError> {
    let Some(name) = name else {
        return Ok(pods);
    };
    let chosen = pods.into_iter().filter(|pod| pod.is_called(name)).collect::<Vec<_>>();
    if chosen.is_empty() {
        return Err(DebugError::NoSuchPod { name: name.to_owned() });
    }
    Ok(chosen)
}

fn findings(
    pod: &PodRow,
    pinned: Option<&PinnedPod>,
    namespaces: &Namespaces,
    agent: Life,
) -> Result<Vec<Finding>, DebugError> {
    match (pod.enrolled, pinned) {
        (Some(true), None) => Ok(vec![Finding::new(
            FindingKind::Capture,
            Some("captured".to_owned()),
            pod.reason.clone(),
        )]),
        (Some(true) | None, Some(pinned)) => Ok(pinned.check(namespaces, agent)?),
        (Some(false), Some(_)) => Ok(vec![Finding::new(
            FindingKind::Capture,
            None,
            Some("captured, though it is not enrolled".to_owned()),
        )]),
        (Some(false) | None, None) => Ok(Vec::new()),
    }
}

// === impl Drifted ===

impl Drifted {
    fn of(pod: &PodRow, finding: Finding) -> Self {
        Self {
            pod: pod.label(),
            uid: pod.uid.clone(),
            finding,
        }
    }
}

impl Row for Drifted {
    const COLUMNS: &'static [&'static str] = &["POD", "DRIFT", "EXPECTED", "ACTUAL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.pod.clone(),
            self.finding.kind.label().to_owned(),
            or_dash(self.finding.expected.as_deref()),
            or_dash(self.finding.actual.as_deref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_keeps_its_json_keys() {
        let drifted = Drifted {
            pod: "shop/cart-0".to_owned(),
            uid: "uid-1".to_owned(),
            finding: Finding::new(FindingKind::Rule, Some("a rule".to_owned()), None),
        };
        assert_eq!(
            serde_json::to_value(&drifted).unwrap(),
            json!({"pod": "shop/cart-0", "uid": "uid-1", "kind": "rule", "expected": "a rule", "actual": null})
        );
        assert_eq!(drifted.cells(), ["shop/cart-0", "rule", "a rule", "-"]);
    }
}

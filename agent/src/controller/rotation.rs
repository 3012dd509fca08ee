//! When a new root of the CA may sign: every agent believes it, or has been waited for long enough.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::cluster::{RotationDecision, RotationNotes, RotationStage};

/// Decides about the stage that is told; none where there is none, or where it is decided already.
///
/// Waited for are all nodes with an agent's pod, ready or not: one that is not ready may still hold connections.
pub(super) fn decide(
    notes: &RotationNotes,
    agents: &BTreeMap<Arc<str>, bool>,
    now: SystemTime,
) -> Option<RotationDecision> {
    let stage = notes.stage?;
    let decided = notes
        .decision
        .as_ref()
        .filter(|decision| decision.bundle == stage.bundle);
    if decided.is_some_and(|decision| decision.advance) {
        return None;
    }
    let lacks = |node: &Arc<str>| notes.taken.get(node).is_none_or(|taken| *taken < stage.bundle);
    let waits_for: BTreeSet<Arc<str>> = agents.keys().filter(|node| lacks(node)).cloned().collect();
    let decision = RotationDecision {
        bundle: stage.bundle,
        advance: is_over(stage, waits_for.is_empty(), now),
        waits_for,
    };
    (decided != Some(&decision)).then_some(decision)
}

fn is_over(stage: RotationStage, all_know: bool, now: SystemTime) -> bool {
    let RotationStage {
        bundle: _,
        since,
        step,
        patience,
    } = stage;
    let gone = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        .saturating_sub(since);
    gone >= step && (all_know || gone >= step.saturating_add(patience))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STAGE: RotationStage = RotationStage {
        bundle: 7,
        since: 1000,
        step: 60,
        patience: 600,
    };

    fn mk_notes(taken: &[(&str, u64)]) -> RotationNotes {
        RotationNotes {
            stage: Some(STAGE),
            taken: taken.iter().map(|(node, bundle)| ((*node).into(), *bundle)).collect(),
            decision: None,
        }
    }

    fn mk_agents() -> BTreeMap<Arc<str>, bool> {
        BTreeMap::from([("node-1".into(), true), ("node-2".into(), false)])
    }

    fn decided(notes: &RotationNotes, gone: u64) -> Option<(bool, Vec<String>)> {
        let decision = decide(notes, &mk_agents(), UNIX_EPOCH + Duration::from_secs(1000 + gone))?;
        let waits_for = decision.waits_for.iter().map(ToString::to_string).collect();
        Some((decision.advance, waits_for))
    }

    #[test]
    fn a_root_signs_when_its_step_is_over_and_every_agent_believes_it() {
        let notes = mk_notes(&[("node-1", 7), ("node-2", 8), ("node-3", 2)]);
        assert_eq!(decided(&notes, 59), Some((false, vec![])));
        assert_eq!(decided(&notes, 60), Some((true, vec![])));
    }

    #[test]
    fn an_agent_that_lacks_it_is_named_and_waited_for_until_patience_ends() {
        let notes = mk_notes(&[("node-1", 7), ("node-2", 6)]);
        let missing = vec!["node-2".to_owned()];
        assert_eq!(decided(&notes, 60), Some((false, missing.clone())));
        assert_eq!(decided(&notes, 659), Some((false, missing.clone())));
        assert_eq!(decided(&notes, 660), Some((true, missing)));
    }

    #[test]
    fn what_is_decided_is_not_decided_again() {
        let mut notes = mk_notes(&[("node-1", 7)]);
        let now = UNIX_EPOCH + Duration::from_secs(1060);
        notes.decision = decide(&notes, &mk_agents(), now);
        assert!(notes.decision.is_some());
        assert_eq!(decide(&notes, &mk_agents(), now), None);
        notes.taken.insert("node-2".into(), 7);
        notes.decision = decide(&notes, &mk_agents(), now);
        assert!(notes.decision.as_ref().is_some_and(|decision| decision.advance));
        assert_eq!(decide(&notes, &mk_agents(), now), None);
        let idle = RotationNotes::default();
        assert_eq!(decide(&idle, &mk_agents(), now), None, "no root is replaced");
    }
}

//! The stages of a rotation: a new root joins the bundle, signs, and the old one leaves. No handshake fails in between.

use std::time::{Duration, SystemTime};

use super::{
    CaServerError,
    state::{KeptRoot, Rotation, State, seconds},
};

/// What a rotation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How long a new root is in the bundle before it signs, at least: agents that are away for a moment learn it too.
    pub(super) step: Duration,
    /// How long certificates live.
    pub(super) life: Duration,
}

/// Begins a rotation; says whether one goes on already.
pub(super) fn begin(state: &mut State) -> Result<bool, CaServerError> {
    if state.rotation.is_some() {
        return Ok(false);
    }
    state.roots.push(KeptRoot::create(&state.trust_domain)?);
    state.rotation = Some(Rotation::Joining {
        since: seconds(SystemTime::now()),
    });
    state.bundle += 1;
    Ok(true)
}

/// Whether the next stage's time has come; `all_know` says whether every attending agent has the newest bundle.
pub(super) fn is_due(rotation: Rotation, pace: Pace, all_know: bool, now: SystemTime) -> bool {
    let now = seconds(now);
    match rotation {
        Rotation::Joining { since } => all_know && now >= since.saturating_add(pace.step.as_secs()),
        Rotation::Leaving { until } => now >= until,
    }
}

/// Goes to the next stage.
pub(super) fn advance(state: &mut State, pace: Pace, now: SystemTime) {
    match state.rotation {
        None => return,
        Some(Rotation::Joining { .. }) => {
            state.rotation = Some(Rotation::Leaving {
                until: seconds(now + pace.life + MARGIN),
            });
        }
        Some(Rotation::Leaving { .. }) => {
            let newest = state.roots.len().saturating_sub(1);
            state.roots.drain(..newest);
            state.rotation = None;
        }
    }
    state.bundle += 1;
}

/// How far clocks may differ before the last certificate of an old root is over everywhere.
const MARGIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::{super::live::Live, *};

    const PACE: Pace = Pace {
        step: Duration::from_secs(60),
        life: Duration::from_secs(3600),
    };

    #[test]
    fn both_roots_are_believed_from_before_the_first_to_after_the_last_certificate() {
        let mut state = State::create("cluster.local").expect("a state");
        let old = Live::new(&state).expect("live").bundle;
        assert!(begin(&mut state).expect("begun"));
        assert!(!begin(&mut state).expect("one at a time"));
        let joining = Live::new(&state).expect("live").bundle;
        assert_eq!((joining.roots.len(), &joining.signer), (2, &old.signer));
        advance(&mut state, PACE, SystemTime::now());
        let leaving = Live::new(&state).expect("live").bundle;
        assert_eq!(leaving.roots, joining.roots);
        assert_ne!(leaving.signer, old.signer);
        advance(&mut state, PACE, SystemTime::now());
        let done = Live::new(&state).expect("live").bundle;
        assert_eq!((&done.roots[..], done.signer), (&joining.roots[1..], leaving.signer));
        assert_eq!(done.version, old.version + 3);
        assert_eq!(done.mesh, old.mesh, "the mesh stays the same");
    }

    #[test]
    fn a_root_signs_only_when_every_attending_agent_knows_it_and_some_time_has_gone() {
        let now = SystemTime::now();
        let joining = Rotation::Joining { since: seconds(now) };
        assert!(!is_due(joining, PACE, true, now));
        assert!(!is_due(joining, PACE, false, now + PACE.step));
        assert!(is_due(joining, PACE, true, now + PACE.step));
    }

    #[test]
    fn a_root_leaves_when_all_that_it_has_signed_is_over() {
        let now = SystemTime::now();
        let mut state = State::create("cluster.local").expect("a state");
        begin(&mut state).expect("begun");
        advance(&mut state, PACE, now);
        let leaving = state.rotation.expect("a rotation");
        assert!(!is_due(leaving, PACE, true, now + PACE.life));
        assert!(is_due(leaving, PACE, false, now + PACE.life + MARGIN));
    }
}

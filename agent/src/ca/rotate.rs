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
    /// How much longer it waits for agents that attend and do not take it.
    pub(super) patience: Duration,
    /// How long certificates live.
    pub(super) life: Duration,
}

/// Whether the next stage's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It has not.
    Later,
    /// It has, but for agents that do not know the new root.
    Waits,
    /// It has.
    Now,
}

/// Begins a rotation; says whether one goes on already.
pub(super) fn begin(state: &mut State) -> Result<bool, CaServerError> {
    if state.rotation.is_some() {
        return Ok(false);
    }
    if state.roots.is_empty() {
        return Err(CaServerError::ForeignRoots);
    }
    state.roots.push(KeptRoot::create(&state.trust_domain)?);
    state.rotation = Some(Rotation::Joining {
        since: seconds(SystemTime::now()),
        forced: false,
    });
    state.bundle += 1;
    Ok(true)
}

/// Lets the new root of a rotation sign without waiting for anybody.
pub(super) fn force(state: &mut State) -> Result<(), CaServerError> {
    match &mut state.rotation {
        Some(Rotation::Joining { forced, .. }) => *forced = true,
        Some(Rotation::Leaving { .. }) => {}
        None => return Err(CaServerError::NotRotating),
    }
    Ok(())
}

/// Whether the next stage's time has come; `some_lack` says whether some attending agent has not the newest bundle.
pub(super) fn due(rotation: Rotation, pace: Pace, some_lack: bool, now: SystemTime) -> Due {
    let now = seconds(now);
    let (time, patience) = match rotation {
        Rotation::Joining { forced: true, .. } => return Due::Now,
        Rotation::Joining { since, forced: false } => (since.saturating_add(pace.step.as_secs()), pace.patience),
        Rotation::Leaving { until } => (until, Duration::ZERO),
    };
    if now < time {
        Due::Later
    } else if some_lack && now < time.saturating_add(patience.as_secs()) {
        Due::Waits
    } else {
        Due::Now
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
        patience: Duration::from_secs(600),
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
        let joining = Rotation::Joining {
            since: seconds(now),
            forced: false,
        };
        assert_eq!(due(joining, PACE, false, now), Due::Later);
        assert_eq!(due(joining, PACE, true, now + PACE.step), Due::Waits);
        assert_eq!(due(joining, PACE, false, now + PACE.step), Due::Now);
    }

    #[test]
    fn an_agent_that_never_learns_the_new_root_is_waited_for_no_longer_than_the_patience() {
        let now = SystemTime::now();
        let joining = Rotation::Joining {
            since: seconds(now),
            forced: false,
        };
        let end = now + PACE.step + PACE.patience;
        assert_eq!(due(joining, PACE, true, end - Duration::from_secs(1)), Due::Waits);
        assert_eq!(due(joining, PACE, true, end), Due::Now);
    }

    #[test]
    fn a_forced_rotation_waits_for_nobody_and_there_is_none_to_force_before_it_has_begun() {
        let mut state = State::create("cluster.local").expect("a state");
        assert!(matches!(force(&mut state), Err(CaServerError::NotRotating)));
        begin(&mut state).expect("begun");
        force(&mut state).expect("forced");
        let forced = state.rotation.expect("a rotation");
        assert_eq!(due(forced, PACE, true, SystemTime::now()), Due::Now);
    }

    #[test]
    fn a_root_leaves_when_all_that_it_has_signed_is_over() {
        let now = SystemTime::now();
        let mut state = State::create("cluster.local").expect("a state");
        begin(&mut state).expect("begun");
        advance(&mut state, PACE, now);
        let leaving = state.rotation.expect("a rotation");
        assert_eq!(due(leaving, PACE, false, now + PACE.life), Due::Later);
        assert_eq!(due(leaving, PACE, true, now + PACE.life + MARGIN), Due::Now);
    }
}

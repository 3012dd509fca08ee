//! What becomes of an object whose newest state may be unusable.

use super::objects::Kind;
use crate::model::{Problem, Severity};

/// What becomes of an object that was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The new state counts.
    Used,
    /// It is unusable: the last good state is kept.
    Kept,
    /// It is unusable, and no good state was ever seen.
    Unknown,
}

// === impl Fate ===

impl Fate {
    /// Adds to what is wrong with the object what comes of it.
    pub(crate) fn told(self, kind: Kind, problem: Problem) -> Problem {
        match problem.severity {
            Severity::Error => Problem {
                reason: format!("{}{}", problem.reason, self.consequence(kind)),
                ..problem
            },
            Severity::Notice => problem,
        }
    }

    fn consequence(self, kind: Kind) -> &'static str {
        match (self, kind.policy()) {
            (Self::Kept, _) => "; its last good state is kept",
            (Self::Unknown, Some(_)) => {
                "; until it is understood, all pods that it could be about are denied to everybody"
            }
            (Self::Unknown, None) if kind.is_route() => "; until it is understood, it is as if it were not there",
            (Self::Unknown, None) | (Self::Used, _) => "",
        }
    }
}

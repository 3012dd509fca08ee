//! How long a pod waits for the agent: by what is known of its namespace.

use std::time::Duration;

use crate::model::OnAgentFailure;

/// What is known of a namespace without the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not enrolled, as far as anybody knows.
    Unlisted,
    /// It is enrolled.
    Listed(OnAgentFailure),
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// For an agent that is not there.
    pub(super) away: Duration,
    /// For the answer of one that is.
    pub(super) answer: Duration,
}

// === impl Patience ===

impl Patience {
    /// For a pod of a namespace that is so.
    ///
    /// A pod may enrol itself, whatever its namespace does: a living agent is asked, and answers in milliseconds. An agent
    /// that fails open is missed for as long as connections would wait for it. All are far below the two minutes which the
    /// kubelet gives the runtime.
    pub(super) fn for_pod_of(standing: Standing) -> Self {
        match standing {
            Standing::Unlisted => Self {
                away: Duration::ZERO,
                answer: Duration::from_secs(1),
            },
            Standing::Listed(OnAgentFailure::Open) => Self {
                away: Duration::from_secs(2),
                answer: Duration::from_secs(5),
            },
            Standing::Listed(OnAgentFailure::Closed) => Self {
                away: Duration::from_secs(10),
                answer: Duration::from_secs(10),
            },
        }
    }

    /// For what the agent is told in passing.
    pub(super) const IN_PASSING: Self = Self {
        away: Duration::ZERO,
        answer: Duration::from_secs(1),
    };
}

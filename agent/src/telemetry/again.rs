//! Counts of requests that were sent more than once: tried again, or copied for mirrors. Labels are closed.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Denied, metrics::Reason};

/// The metrics of retries and copies.
#[derive(Clone, Debug, Default)]
pub(super) struct AgainMetrics {
    retries: Family<CauseLabels, Counter>,
    mirrored: Family<OutcomeLabels, Counter>,
}

/// Why a request was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// The backend's response has a status that the rule names.
    Status,
    /// Its connection failed.
    Connection,
    /// It took too long.
    Timeout,
}

/// What became of a copy of a request for a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MirrorOutcome {
    /// The mirror answered, whatever it said.
    Answered,
    /// The mirror could not be reached, or refused, or its connection failed.
    Failed(Denied),
    /// The mirror took too long.
    TimedOut,
    /// The request's body is too long to be kept: it was not sent.
    BodyTooLong,
    /// There is no room to keep the request's body: it was not sent.
    NoRoom,
    /// The request did not come whole: it was not sent.
    Unfinished,
    /// Too many copies were under way: it was not sent.
    TooMany,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: RetryCause,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: MirrorOutcome,
    /// Why it failed.
    reason: Reason,
}

// === impl AgainMetrics ===

impl AgainMetrics {
    /// Makes the families and registers them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "weft_request_retries",
            "Times that a request was sent again because a route says so, by the cause",
            metrics.retries.clone(),
        );
        registry.register(
            "weft_mirrored_requests",
            "Copies of requests for mirrors, by what became of them, and by the reason of those that failed",
            metrics.mirrored.clone(),
        );
        metrics
    }

    pub(super) fn retried(&self, cause: RetryCause) {
        self.retries.get_or_create(&CauseLabels { cause }).inc();
    }

    pub(super) fn mirrored(&self, outcome: MirrorOutcome) {
        let reason = Reason(match outcome {
            MirrorOutcome::Failed(denied) => Some(denied),
            MirrorOutcome::Answered
            | MirrorOutcome::TimedOut
            | MirrorOutcome::BodyTooLong
            | MirrorOutcome::NoRoom
            | MirrorOutcome::Unfinished
            | MirrorOutcome::TooMany => None,
        });
        self.mirrored.get_or_create(&OutcomeLabels { outcome, reason }).inc();
    }
}

// === impl RetryCause ===

impl EncodeLabelValue for RetryCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Status => "status",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
        }
        .encode(encoder)
    }
}

// === impl MirrorOutcome ===

impl EncodeLabelValue for MirrorOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Answered => "answered",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
            Self::BodyTooLong => "body_too_long",
            Self::NoRoom => "no_room",
            Self::Unfinished => "unfinished",
            Self::TooMany => "too_many",
        }
        .encode(encoder)
    }
}

//! Counts of DNS questions.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The metric families of DNS.
#[derive(Clone, Debug, Default)]
pub struct DnsMetrics {
    questions: Family<OutcomeLabels, Counter>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsOutcome {
    /// The mesh knew the answer.
    Answered,
    /// The resolver's answer was passed on.
    Forwarded,
    /// The resolver did not answer in time.
    ResolverTimeout,
    /// The resolver refused to be asked.
    ResolverUnreachable,
    /// Too many questions of the pod wait for their resolvers.
    TooManyWaiting,
    /// The datagram was no question.
    Malformed,
    /// A system call of the agent failed where it should not.
    AgentError,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: DnsOutcome,
}

// === impl DnsOutcome ===

impl DnsOutcome {
    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Forwarded => "forwarded",
            Self::ResolverTimeout => "resolver_timeout",
            Self::ResolverUnreachable => "resolver_unreachable",
            Self::TooManyWaiting => "too_many_waiting",
            Self::Malformed => "malformed",
            Self::AgentError => "agent_error",
        }
    }
}

impl EncodeLabelValue for DnsOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.label().encode(encoder)
    }
}

// === impl DnsMetrics ===

impl DnsMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "weft_dns_questions",
            "DNS questions of pods, by what became of them",
            metrics.questions.clone(),
        );
        metrics
    }

    /// Counts a question.
    pub fn count(&self, outcome: DnsOutcome) {
        self.questions.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// How many there were.
    #[cfg(test)]
    pub(crate) fn counted(&self, outcome: DnsOutcome) -> u64 {
        self.questions.get_or_create(&OutcomeLabels { outcome }).get()
    }
}

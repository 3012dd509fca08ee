//! Counts of pods that the CNI plugin asked for.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The metric families of the CNI plugin, as far as the agent sees it.
#[derive(Clone, Debug)]
pub struct CniMetrics {
    adds: Family<OutcomeLabels, Counter>,
    refusals: Family<ReasonLabels, Counter>,
    held: Histogram,
}

/// What became of a pod that was to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CniOutcome {
    /// It was captured first.
    Captured,
    /// It is not in the mesh.
    NotEnrolled,
    /// It started before it was captured, since its namespace fails open.
    LetStart,
    /// It had to wait: the kubelet tries again.
    Refused,
}

/// Why a pod was not captured before it was to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CniRefusal {
    /// The API has not told of the pod.
    PodUnknown,
    /// The capture could not be made in time.
    NotCaptured,
    /// The plugin passed no network namespace.
    NoNamespace,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: CniOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: CniRefusal,
}

// === impl CniOutcome ===

impl CniOutcome {
    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::NotEnrolled => "not_enrolled",
            Self::LetStart => "let_start",
            Self::Refused => "refused",
        }
    }
}

impl EncodeLabelValue for CniOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.label().encode(encoder)
    }
}

// === impl CniRefusal ===

impl CniRefusal {
    /// As metrics name it.
    pub fn label(self) -> &'static str {
        match self {
            Self::PodUnknown => "pod_unknown",
            Self::NotCaptured => "not_captured",
            Self::NoNamespace => "no_namespace",
        }
    }
}

impl EncodeLabelValue for CniRefusal {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.label().encode(encoder)
    }
}

// === impl CniMetrics ===

impl Default for CniMetrics {
    fn default() -> Self {
        Self {
            adds: Family::default(),
            refusals: Family::default(),
            held: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
        }
    }
}

impl CniMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "weft_cni_adds",
            "Pods that were about to start, by what became of them",
            metrics.adds.clone(),
        );
        registry.register(
            "weft_cni_refusals",
            "Pods that were to be in the mesh and could not be captured before their start, by the reason",
            metrics.refusals.clone(),
        );
        registry.register_with_unit(
            "weft_cni_held",
            "How long pods of the mesh were held until they were captured",
            Unit::Seconds,
            metrics.held.clone(),
        );
        metrics
    }

    /// Counts a pod.
    pub fn added(&self, outcome: CniOutcome) {
        self.adds.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a pod that was held until it was captured.
    pub fn held(&self, time: Duration) {
        self.held.observe(time.as_secs_f64());
    }

    /// Counts a pod that could not be captured in time.
    pub fn refused(&self, reason: CniRefusal) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// How many pods there were.
    #[cfg(test)]
    pub(crate) fn counted(&self, outcome: CniOutcome) -> u64 {
        self.adds.get_or_create(&OutcomeLabels { outcome }).get()
    }
}

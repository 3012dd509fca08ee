//! Counts of certificates, and how the agent stands with its CA.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metric families of certificates.
#[derive(Clone, Debug, Default)]
pub struct CertificateMetrics {
    requests: Family<OutcomeLabels, Counter>,
    attended: Gauge,
    skew: Gauge<f64, AtomicU64>,
}

/// What became of a request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum CertificateOutcome {
    /// It was issued.
    Issued,
    /// It was refused, or what came cannot be used.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: CertificateOutcome,
}

// === impl CertificateMetrics ===

impl CertificateMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "weft_certificate_requests",
            "Requests for pods' certificates that the CA has answered, by what became of them",
            metrics.requests.clone(),
        );
        registry.register(
            "weft_ca_attended",
            "Whether a stream to the CA is open",
            metrics.attended.clone(),
        );
        registry.register(
            "weft_ca_clock_skew_seconds",
            "How far the CA's clock is ahead of this node's",
            metrics.skew.clone(),
        );
        metrics
    }

    /// Counts an answered request.
    pub fn count(&self, outcome: CertificateOutcome) {
        self.requests.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Tells whether a stream to the CA is open.
    pub fn attended(&self, attended: bool) {
        self.attended.set(attended.into());
    }

    /// Tells how far the CA's clock is ahead, in seconds.
    pub fn skew(&self, seconds: f64) {
        self.skew.set(seconds);
    }
}

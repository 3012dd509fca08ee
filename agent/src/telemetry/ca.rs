//! What a CA counts: certificates, refusals, reviews of tokens, and how long its authorities last.

use std::{
    sync::atomic::AtomicI64,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::seconds_between;

/// The metric families of a CA.
#[derive(Clone, Debug)]
pub struct CaMetrics {
    issued: Counter,
    refused: Family<RefusalLabels, Counter>,
    agents: Gauge,
    turned_away: Counter,
    reviews: Family<ReviewLabels, Counter>,
    review_seconds: Histogram,
    authorities: Family<AuthorityLabels, Gauge<i64, AtomicI64>>,
    api_server: Gauge,
}

/// What became of a token's review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum ReviewOutcome {
    /// The API server says that it is good.
    Good,
    /// It has said so a moment ago.
    Cached,
    /// It is not.
    Refused,
    /// The API server does not answer.
    Away,
}

/// Why a certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum CertificateRefusal {
    /// There is no such pod, or one of another name.
    Pod,
    /// It is on another node.
    Node,
    /// It has another service account.
    ServiceAccount,
    /// It is not in the mesh.
    NotEnrolled,
    /// The deny-list names it.
    Denied,
    /// The request is not one.
    Request,
    /// The CA cannot sign.
    Authority,
}

/// What an authority does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
pub enum AuthorityRole {
    /// It signs.
    Signer,
    /// It is believed.
    Root,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: CertificateRefusal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: ReviewOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthorityLabels {
    role: AuthorityRole,
    key: String,
}

// === impl CaMetrics ===

impl Default for CaMetrics {
    fn default() -> Self {
        Self {
            issued: Counter::default(),
            refused: Family::default(),
            agents: Gauge::default(),
            turned_away: Counter::default(),
            reviews: Family::default(),
            review_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 13)),
            authorities: Family::default(),
            api_server: Gauge::default(),
        }
    }
}

impl CaMetrics {
    /// Makes the families and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self {
            issued,
            refused,
            agents,
            turned_away,
            reviews,
            review_seconds,
            authorities,
            api_server,
        } = metrics.clone();
        registry.register("weft_ca_certificates_issued", "Certificates that were signed", issued);
        registry.register(
            "weft_ca_certificates_refused",
            "Certificates that were asked for and refused, by why",
            refused,
        );
        registry.register("weft_ca_agents", "Agents that attend", agents);
        registry.register("weft_ca_agents_refused", "Agents that were not let attend", turned_away);
        registry.register(
            "weft_ca_token_reviews",
            "Agents' tokens that were looked at, by what became of it",
            reviews,
        );
        registry.register_with_unit(
            "weft_ca_token_review_duration",
            "How long the API server takes to review a token",
            Unit::Seconds,
            review_seconds,
        );
        registry.register_with_unit(
            "weft_ca_authority_left",
            "How long each authority is valid yet, by what it does",
            Unit::Seconds,
            authorities,
        );
        registry.register(
            "weft_ca_follows_api_server",
            "Whether what this CA knows of the cluster is what the API server says",
            api_server,
        );
        metrics
    }

    /// Counts a certificate.
    pub fn issued(&self) {
        self.issued.inc();
    }

    /// Counts one that was refused.
    pub fn refused(&self, reason: CertificateRefusal) {
        self.refused.get_or_create(&RefusalLabels { reason }).inc();
    }

    /// Counts an agent that was not let attend.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// Tells how many agents attend.
    pub fn agents(&self, count: usize) {
        self.agents.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a token that was looked at, and how long the API server took where it was asked.
    pub fn reviewed(&self, outcome: ReviewOutcome, took: Option<Duration>) {
        self.reviews.get_or_create(&ReviewLabels { outcome }).inc();
        if let Some(took) = took {
            self.review_seconds.observe(took.as_secs_f64());
        }
    }

    /// Tells until when authorities are valid, in place of those that were told before.
    pub fn authorities(&self, ends: impl IntoIterator<Item = (AuthorityRole, String, SystemTime)>, now: SystemTime) {
        self.authorities.clear();
        for (role, key, end) in ends {
            let left = seconds_between(now, end);
            self.authorities.get_or_create(&AuthorityLabels { role, key }).set(left);
        }
    }

    /// Tells whether the API server is followed.
    pub fn follows(&self, follows: bool) {
        self.api_server.set(follows.into());
    }
}

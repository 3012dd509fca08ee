//! What the API server has said of tokens, kept for a moment: agents come back more often than their tokens change.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Semaphore;

use crate::{
    cluster::{ReviewedToken, TokenReviewer},
    model::ObjectName,
    telemetry::{CaMetrics, ReviewOutcome, with_causes},
    tls::{
        Fingerprint,
        issue::{NotAdmitted, PodToken},
    },
};

/// Reviews tokens, and remembers good ones.
///
/// While the API server is away a token that was good goes on being good until its own end: nobody can say more, and an
/// agent whose stream was cut must not lose its certificates for it. One that was never reviewed is not admitted.
#[derive(Debug)]
pub(super) struct Reviews {
    reviewer: TokenReviewer,
    agent: ObjectName,
    metrics: CaMetrics,
    cache: Mutex<Cache>,
    /// How many may be asked about at once: strangers must not use up the API server's patience.
    turns: Semaphore,
}

/// Good tokens by their fingerprint.
#[derive(Debug, Default)]
struct Cache(BTreeMap<Fingerprint, Kept>);

#[derive(Clone, Debug)]
struct Kept {
    reviewed: ReviewedToken,
    at: Instant,
}

// === impl Reviews ===

impl Reviews {
    /// Reviews the tokens of agents, whose service account this is.
    pub(super) fn new(reviewer: TokenReviewer, agent: ObjectName, metrics: CaMetrics) -> Self {
        Self {
            reviewer,
            agent,
            metrics,
            cache: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// The service account of agents.
    pub(super) fn agent(&self) -> &ObjectName {
        &self.agent
    }

    /// Says whose token it is.
    pub(super) async fn review(&self, token: &PodToken) -> Result<ReviewedToken, NotAdmitted> {
        let fingerprint = token.fingerprint();
        let kept = self.cache().find(fingerprint, SystemTime::now());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.at.elapsed() < FRESH) {
            self.metrics.reviewed(ReviewOutcome::Cached, None);
            return Ok(kept.reviewed.clone());
        }
        let began = Instant::now();
        let turn = self.turns.acquire().await;
        let answer = self.reviewer.review(token.reveal()).await;
        drop(turn);
        let took = Some(began.elapsed());
        match (answer, kept) {
            (Ok(reviewed), _) => {
                self.metrics.reviewed(ReviewOutcome::Good, took);
                self.cache().keep(fingerprint, reviewed.clone());
                Ok(reviewed)
            }
            (Err(error), Some(kept)) if error.is_away() => {
                self.metrics.reviewed(ReviewOutcome::Away, took);
                tracing::warn!(
                    error = with_causes(&error),
                    "An agent is admitted by what was known of its token"
                );
                Ok(kept.reviewed)
            }
            (Err(error), _) if error.is_away() => {
                self.metrics.reviewed(ReviewOutcome::Away, took);
                Err(NotAdmitted::Unavailable(with_causes(&error)))
            }
            (Err(error), _) => {
                self.metrics.reviewed(ReviewOutcome::Refused, took);
                self.cache().0.remove(&fingerprint);
                Err(NotAdmitted::Refused(with_causes(&error)))
            }
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Cache ===

impl Cache {
    fn find(&self, fingerprint: Fingerprint, now: SystemTime) -> Option<Kept> {
        let kept = self.0.get(&fingerprint)?;
        (kept.reviewed.expires > now).then(|| kept.clone())
    }

    /// Keeps one in place of those that are over, and of the oldest where there are too many.
    fn keep(&mut self, fingerprint: Fingerprint, reviewed: ReviewedToken) {
        if self.0.len() >= MOST {
            let now = SystemTime::now();
            self.0.retain(|_, kept| kept.reviewed.expires > now);
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, kept)| kept.at);
            if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
                self.0.remove(&oldest);
            }
        }
        let at = Instant::now();
        self.0.insert(fingerprint, Kept { reviewed, at });
    }
}

/// How long the API server's word is not asked for again.
const FRESH: Duration = Duration::from_secs(60);
/// More than any cluster has nodes.
const MOST: usize = 16_384;
const AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PodUid;

    fn mk_reviewed(expires: SystemTime) -> ReviewedToken {
        ReviewedToken {
            service_account: ObjectName::new("weft-system", "weft-agent"),
            pod: Some(PodUid::new("uid")),
            node: None,
            expires,
        }
    }

    #[test]
    fn a_good_token_is_known_again_until_its_end() {
        let now = SystemTime::now();
        let mut cache = Cache::default();
        cache.keep(Fingerprint::of(b"one"), mk_reviewed(now + FRESH));
        assert!(cache.find(Fingerprint::of(b"one"), now).is_some());
        assert!(cache.find(Fingerprint::of(b"one"), now + FRESH).is_none(), "it is over");
        assert!(cache.find(Fingerprint::of(b"other"), now).is_none());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let later = SystemTime::now() + FRESH;
        let mut cache = Cache::default();
        for number in 0..=MOST {
            cache.keep(Fingerprint::of(&number.to_be_bytes()), mk_reviewed(later));
        }
        assert_eq!(cache.0.len(), MOST);
        let known = |number: usize| {
            cache
                .find(Fingerprint::of(&number.to_be_bytes()), SystemTime::now())
                .is_some()
        };
        assert!(!known(0));
        assert!(known(1) && known(MOST));
    }
}

//! How long to wait: between attempts, and for an answer.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// The times of following.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long the head of an answer may take.
    pub(crate) answer: Duration,
    /// How long a watch may be silent: servers send a bookmark about once a minute.
    pub(crate) silence: Duration,
    /// How long a watch is asked for, up to a fifth less: not all agents come back at once.
    pub(crate) watch: Duration,
    /// The shortest wait after a failure, doubled by each further one.
    pub(crate) shortest: Duration,
    /// The longest.
    pub(crate) longest: Duration,
    /// How long the first lists may take where an earlier mesh is known.
    pub(crate) patience: Duration,
}

/// Growing waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    failures: u32,
}

// === impl Pace ===

impl Pace {
    /// For how many seconds to ask for a watch.
    pub(super) fn seconds(&self) -> u32 {
        let watch = self.watch.mul_f64(1.0 - 0.2 * random());
        u32::try_from(watch.as_secs().max(1)).unwrap_or(u32::MAX)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(15),
            silence: Duration::from_secs(90),
            watch: Duration::from_secs(290),
            shortest: Duration::from_millis(200),
            longest: Duration::from_secs(10),
            patience: Duration::from_secs(5),
        }
    }
}

// === impl Backoff ===

impl Backoff {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0 }
    }

    /// How long to wait after one more failure: between half of the time and all of it, so that agents spread.
    pub(super) fn next(&mut self) -> Duration {
        let grown = self.pace.shortest.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        grown.min(self.pace.longest).mul_f64(0.5 + 0.5 * random())
    }

    /// Begins again with the shortest wait.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number from 0 up to 1, other than the one before; no secret.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_begin_again() {
        let pace = Pace::default();
        let mut backoff = Backoff::new(pace);
        let first = backoff.next();
        assert!(first >= pace.shortest / 2 && first <= pace.shortest, "{first:?}");
        let later: Vec<Duration> = (0..100).map(|_| backoff.next()).collect();
        assert!(later.iter().all(|wait| *wait <= pace.longest));
        assert!(later.last().is_some_and(|wait| *wait >= pace.longest / 2));
        assert!(later.windows(2).any(|pair| pair[0] != pair[1]), "they are spread");
        backoff.reset();
        assert!(backoff.next() <= pace.shortest);
    }

    #[test]
    fn a_watch_is_asked_for_a_time_of_its_own() {
        let seconds: Vec<u32> = (0..100).map(|_| Pace::default().seconds()).collect();
        assert!(
            seconds.iter().all(|seconds| (232..=290).contains(seconds)),
            "{seconds:?}"
        );
        assert!(seconds.windows(2).any(|pair| pair[0] != pair[1]));
    }
}

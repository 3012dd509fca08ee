//! Who leads: the holder of a Lease, which others may take when it was not renewed for as long as it holds.
//!
//! No clock of another machine is believed: how long a Lease was not renewed is how long this process has seen it
//! unchanged, by its own clock.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::{
    cluster::{FoundLease, Lease, LeaseError, Written},
    telemetry::with_causes,
};

/// One that stands for election.
#[derive(Debug)]
pub struct Election {
    lease: Lease,
    name: String,
    seen: Option<Seen>,
    /// Since when the Lease is held, counted from before the API server was asked.
    held: Option<Instant>,
}

/// A Lease of another holder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    version: String,
    since: Instant,
}

/// What is to be done about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It is free, ours, or was not renewed.
    Take,
    /// It is another's.
    Wait,
}

// === impl Election ===

impl Election {
    /// Stands for election under a name that no other one has.
    pub fn new(lease: Lease, name: &str) -> Self {
        Self {
            lease,
            name: name.to_owned(),
            seen: None,
            held: None,
        }
    }

    /// Waits until it is won.
    pub async fn win(&mut self) {
        while !self.attempt().await {
            sleep(RETRY).await;
        }
    }

    /// Keeps what was won, for as long as that is possible.
    pub async fn hold(&mut self) {
        loop {
            let left = self
                .held
                .map(|held| RENEWED.saturating_sub(held.elapsed()))
                .unwrap_or_default();
            if left.is_zero() {
                self.held = None;
                return;
            }
            sleep(RETRY.min(left)).await;
            if timeout(left, self.attempt()).await == Ok(false) && self.seen.is_some() {
                // Another one has it.
                self.held = None;
                return;
            }
        }
    }

    /// Gives back what is held.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn resign(&mut self) -> Result<(), LeaseError> {
        if self.held.take().is_none() {
            return Ok(());
        }
        let found = self.lease.read().await?;
        if found.as_ref().and_then(FoundLease::holder) == Some(&self.name) {
            self.lease.write(found, None, DURATION).await?;
        }
        Ok(())
    }

    /// Tries once; says whether the Lease is held.
    async fn attempt(&mut self) -> bool {
        let began = Instant::now();
        match timeout(RENEWED, self.try_take(began)).await {
            Ok(Ok(true)) => {
                (self.held, self.seen) = (Some(began), None);
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                tracing::warn!(error = with_causes(&error), "The Lease cannot be had");
                false
            }
            Err(_elapsed) => {
                tracing::warn!("The API server does not answer about the Lease");
                false
            }
        }
    }

    async fn try_take(&mut self, now: Instant) -> Result<bool, LeaseError> {
        let found = self.lease.read().await?;
        if self.judge(found.as_ref(), now) == Move::Wait {
            return Ok(false);
        }
        Ok(self.lease.write(found, Some(&self.name), DURATION).await? == Written::Done)
    }

    fn judge(&mut self, found: Option<&FoundLease>, now: Instant) -> Move {
        let held_by_other = found.filter(|found| found.holder().is_some_and(|holder| holder != self.name));
        let Some(found) = held_by_other else {
            return Move::Take;
        };
        match &self.seen {
            Some(seen) if seen.version == found.version() => {
                if now.duration_since(seen.since) > found.duration() {
                    Move::Take
                } else {
                    Move::Wait
                }
            }
            Some(_) | None => {
                let version = found.version().to_owned();
                self.seen = Some(Seen { version, since: now });
                Move::Wait
            }
        }
    }
}

/// How long a Lease holds without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How long the holder believes to hold it without having renewed it: less, so that never two do.
const RENEWED: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

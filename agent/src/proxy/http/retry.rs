//! When a request is tried again (HTTPRoute's `retry`, GEP-1731), and how long after.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;

use crate::{
    model::Retry,
    proxy::outbound::elsewhere,
    telemetry::{Denied, RetryCause},
};

/// How often a request was tried again, and how often it still may be.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    retry: Option<&'a Retry>,
    made: u32,
    /// The endpoint that is asked before others.
    pub(super) first: Option<SocketAddr>,
    /// The endpoints that were asked in vain.
    pub(super) tried: Vec<SocketAddr>,
}

// === impl Tries ===

impl<'a> Tries<'a> {
    /// By what the rule says; without, never.
    pub(super) fn new(retry: Option<&'a Retry>, first: Option<SocketAddr>) -> Self {
        Self {
            retry,
            made: 0,
            first,
            tried: Vec::new(),
        }
    }

    /// Whether it may be tried again at all.
    pub(super) fn are_left(&self) -> bool {
        self.retry.is_some_and(|retry| self.made < retry.attempts)
    }

    /// Why a response is one after which it is tried again. `refused` is why the agent at the other end has refused, whose
    /// word the response then is, and not the backend's.
    pub(super) fn after_response(&self, status: StatusCode, refused: Option<Denied>) -> Option<RetryCause> {
        let retry = self.retry.filter(|_| self.are_left())?;
        match refused {
            Some(denied) => failure(denied),
            None => retry.statuses.contains(&status.as_u16()).then_some(RetryCause::Status),
        }
    }

    /// Why it is tried again when it got no response.
    pub(super) fn after_failure(&self, denied: Denied) -> Option<RetryCause> {
        failure(denied).filter(|_| self.are_left())
    }

    /// How long the next time is waited for, by an even random number: at least for the backoff, twice as long after each
    /// time up to [`MOST_BACKOFFS`] of it, and up to a half more, so that not all come back at once.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let backoff = self.retry.and_then(|retry| retry.backoff).unwrap_or(BACKOFF);
        let longer = backoff.saturating_mul(2_u32.saturating_pow(self.made).min(MOST_BACKOFFS));
        self.made += 1;
        let share = (random % 1024) as u32;
        longer.saturating_add(longer / 2048 * share)
    }
}

/// What a connection that fails is, as far as another time may help.
fn failure(denied: Denied) -> Option<RetryCause> {
    match denied {
        Denied::UpstreamTimeout => Some(RetryCause::Timeout),
        Denied::UpstreamReset => Some(RetryCause::Connection),
        denied => elsewhere(denied).then_some(RetryCause::Connection),
    }
}

/// The backoff where the rule has none.
const BACKOFF: Duration = Duration::from_millis(25);
/// How many backoffs are waited for at most.
const MOST_BACKOFFS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(attempts: u32) -> Retry {
        Retry {
            statuses: vec![503],
            attempts,
            backoff: Some(Duration::from_millis(100)),
        }
    }

    #[test]
    fn statuses_that_the_rule_names_and_connections_that_fail_are_reasons_and_nothing_else_is() {
        let rule = retry(1);
        let tries = Tries::new(Some(&rule), None);
        let after = |status| tries.after_response(StatusCode::from_u16(status).unwrap(), None);
        assert_eq!(after(503), Some(RetryCause::Status));
        assert_eq!((after(200), after(500)), (None, None));
        for (denied, cause) in [
            (Denied::UpstreamRefused, Some(RetryCause::Connection)),
            (Denied::UpstreamReset, Some(RetryCause::Connection)),
            (Denied::UpstreamTimeout, Some(RetryCause::Timeout)),
            (Denied::PolicyDenied, None),
            (Denied::ClientGone, None),
        ] {
            assert_eq!(tries.after_failure(denied), cause, "{denied:?}");
            let told = tries.after_response(StatusCode::SERVICE_UNAVAILABLE, Some(denied));
            assert_eq!(
                told, cause,
                "{denied:?} told by the other agent is no status of the backend's"
            );
        }
    }

    #[test]
    fn there_is_an_end_and_without_a_rule_no_beginning() {
        let never = Tries::new(None, None);
        assert!(!never.are_left());
        assert_eq!(never.after_failure(Denied::UpstreamReset), None);
        let rule = retry(2);
        let mut tries = Tries::new(Some(&rule), None);
        for _ in 0..2 {
            assert!(tries.after_failure(Denied::UpstreamReset).is_some());
            tries.next(0);
        }
        assert_eq!(tries.after_failure(Denied::UpstreamReset), None);
        assert_eq!(tries.after_response(StatusCode::SERVICE_UNAVAILABLE, None), None);
    }

    #[test]
    fn a_pause_is_never_shorter_than_the_rule_says_and_grows_to_a_bound() {
        let rule = retry(9);
        let pauses = |random| {
            let mut tries = Tries::new(Some(&rule), None);
            [(); 6].map(|()| tries.next(random).as_millis())
        };
        assert_eq!(pauses(0), [100, 200, 400, 800, 800, 800]);
        for (longest, shortest) in pauses(1023).into_iter().zip(pauses(0)) {
            assert!(longest > shortest && longest <= shortest * 3 / 2, "{longest}");
        }
    }
}

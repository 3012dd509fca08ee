//! How long a client that must speak HTTP may take until it is clear in which version.

use std::{
    future::{Future, pending},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::LONGEST_PREFACE;
use crate::{proxy::lane::Lane, telemetry::Denied};

/// A client's first line is waited for.
pub(in crate::proxy) struct Greeting {
    /// How long a client may have no request.
    idle: Duration,
    stopping: CancellationToken,
    begun: Option<Instant>,
}

// === impl Greeting ===

impl Greeting {
    pub(in crate::proxy) fn new(lane: &Lane) -> Self {
        Self {
            idle: lane.shared.settings.http.idle,
            stopping: lane.stopping.clone(),
            begun: None,
        }
    }

    /// Waits for `more` of the client; none where a line that `has_begun` is not finished in time: it is none of HTTP/2.
    pub(in crate::proxy) async fn more<T>(
        &mut self,
        has_begun: bool,
        more: impl Future<Output = T>,
    ) -> Result<Option<T>, Denied> {
        if has_begun {
            let begun = *self.begun.get_or_insert_with(Instant::now);
            return Ok(timeout_at(begun + LONGEST_PREFACE, more).await.ok());
        }
        tokio::select! {
            biased;
            more = more => Ok(Some(more)),
            () = self.silence() => Err(Denied::RequestTimeout),
        }
    }

    /// Waits until a client that has said nothing is to be left; never while the agent drains, as with any that has no
    /// request.
    async fn silence(&self) {
        sleep(self.idle).await;
        if self.stopping.is_cancelled() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn mk_greeting() -> Greeting {
        Greeting {
            idle: IDLE,
            stopping: CancellationToken::new(),
            begun: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_has_the_time_of_one_without_a_request_and_all_of_it() {
        let mut greeting = mk_greeting();
        let in_time = greeting.more(false, sleep(IDLE - Duration::from_millis(1))).await;
        assert_eq!(in_time, Ok(Some(())));
        let late = greeting.more(false, sleep(IDLE + Duration::from_millis(1))).await;
        assert_eq!(late, Err(Denied::RequestTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_left_while_the_agent_drains() {
        let mut greeting = mk_greeting();
        greeting.stopping.cancel();
        assert_eq!(greeting.more(false, sleep(IDLE * 10)).await, Ok(Some(())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_line_has_its_time_as_a_whole() {
        let mut greeting = mk_greeting();
        let nearly = LONGEST_PREFACE - Duration::from_millis(1);
        assert_eq!(greeting.more(true, sleep(nearly)).await, Ok(Some(())));
        assert_eq!(greeting.more(true, pending::<()>()).await, Ok(None));
        assert_eq!(greeting.begun.map(|begun| begun.elapsed()), Some(LONGEST_PREFACE));
    }
}

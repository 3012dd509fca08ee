//! What a pod's connections learn from each other about endpoints that do not answer.
//!
//! - Who failed lately is picked last.
//! - Dials that wait for the same silent endpoint end together, when the first of them has waited long enough.
//! - For a moment after such an end nobody dials it again: ten clients of a black hole take one time-out.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, timeout, timeout_at},
};

use crate::telemetry::Denied;

/// The endpoints with which one pod has trouble.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<HashMap<SocketAddr, Trouble>>);

#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    /// The dials that have waited for long, and since when the first of them waits.
    waiting: usize,
    waiting_since: Option<Instant>,
    failed: Option<Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    at: Instant,
    denied: Denied,
}

/// One dial that has waited for long.
#[derive(Debug)]
struct Waiting<'a> {
    troubles: &'a Troubles,
    address: SocketAddr,
}

// === impl Troubles ===

impl Troubles {
    /// The endpoints that failed lately.
    pub(super) fn recent(&self) -> Vec<SocketAddr> {
        let troubles = self.lock();
        if troubles.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        troubles
            .iter()
            .filter(|(_, trouble)| trouble.failed.is_some_and(|failed| now < failed.at + PICKED_LAST))
            .map(|(address, _)| *address)
            .collect()
    }

    /// Runs a dial of `address`, which may take `longest`; tells others of its result and ends with theirs.
    pub(super) async fn dial<T>(
        &self,
        address: SocketAddr,
        longest: Duration,
        mut dialling: Pin<&mut impl Future<Output = Result<T, Denied>>>,
    ) -> Result<T, Denied> {
        if let Some(denied) = self.told(address) {
            return Err(denied);
        }
        let soon = SOON.min(longest);
        let result = match within(soon, dialling.as_mut()).await {
            Some(result) => result,
            None => {
                let started = Instant::now() - soon;
                let waiting = self.wait(address, started);
                let mut deadline = waiting.deadline(started, longest);
                loop {
                    match timeout_at(deadline, dialling.as_mut()).await {
                        Ok(result) => break result,
                        Err(_) if Instant::now() >= waiting.deadline(started, longest) => {
                            break Err(Denied::UpstreamTimeout);
                        }
                        // Another dial was answered meanwhile: this one may have its own time.
                        Err(_) => deadline = waiting.deadline(started, longest),
                    }
                }
            }
        };
        self.learn(address, &result);
        result
    }

    /// What others have just waited for in vain.
    fn told(&self, address: SocketAddr) -> Option<Denied> {
        let failed = self.lock().get(&address)?.failed?;
        let silent = failed.denied == Denied::UpstreamTimeout;
        (silent && Instant::now() < failed.at + NOT_DIALLED_AGAIN).then_some(failed.denied)
    }

    /// Learns what the agent of an endpoint has said of it.
    pub(super) fn is_refused(&self, address: SocketAddr, denied: Denied) {
        self.learn::<()>(address, &Err(denied));
    }

    fn learn<T>(&self, address: SocketAddr, result: &Result<T, Denied>) {
        let mut troubles = self.lock();
        match result {
            Ok(_) => {
                let Some(trouble) = troubles.get_mut(&address) else {
                    return;
                };
                *trouble = Trouble {
                    waiting: trouble.waiting,
                    ..Trouble::default()
                };
                if trouble.waiting == 0 {
                    troubles.remove(&address);
                }
            }
            Err(denied @ (Denied::UpstreamTimeout | Denied::UpstreamRefused | Denied::UpstreamUnreachable)) => {
                let at = Instant::now();
                make_room(&mut troubles, at);
                troubles.entry(address).or_default().failed = Some(Failed { at, denied: *denied });
            }
            // The endpoint has no part in the other reasons.
            Err(_) => {}
        }
    }

    fn wait(&self, address: SocketAddr, started: Instant) -> Waiting<'_> {
        let mut troubles = self.lock();
        let trouble = troubles.entry(address).or_default();
        trouble.waiting += 1;
        trouble.waiting_since.get_or_insert(started);
        Waiting {
            troubles: self,
            address,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting<'_> {
    /// When the dial ends: with the first that waits, or for itself once another was answered.
    fn deadline(&self, started: Instant, longest: Duration) -> Instant {
        let since = self.troubles.lock().get(&self.address).and_then(|it| it.waiting_since);
        since.unwrap_or(started) + longest
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut troubles = self.troubles.lock();
        let Some(trouble) = troubles.get_mut(&self.address) else {
            return;
        };
        trouble.waiting -= 1;
        if trouble.waiting > 0 {
            return;
        }
        trouble.waiting_since = None;
        if trouble.failed.is_none() {
            troubles.remove(&self.address);
        }
    }
}

/// Forgets what is over, and where a pod dials thousands of dead addresses, what is oldest.
fn make_room(troubles: &mut HashMap<SocketAddr, Trouble>, now: Instant) {
    if troubles.len() < MOST_TROUBLES {
        return;
    }
    let idle = |trouble: &Trouble| trouble.waiting == 0;
    let over = |failed: Failed| now >= failed.at + PICKED_LAST;
    troubles.retain(|_, trouble| !idle(trouble) || trouble.failed.is_some_and(|failed| !over(failed)));
    if troubles.len() < MOST_TROUBLES {
        return;
    }
    let oldest = troubles
        .iter()
        .filter(|(_, trouble)| idle(trouble))
        .min_by_key(|(_, trouble)| trouble.failed.map(|failed| failed.at));
    if let Some(address) = oldest.map(|(address, _)| *address) {
        troubles.remove(&address);
    }
}

/// Waits for `work`, at most for so long.
///
/// What is done by the next look at epoll, as every connect within one machine, needs no timer: to set one costs a
/// system call and a wake-up of the lane.
pub(super) async fn within<T>(time: Duration, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let at_once = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    if let Poll::Ready(done) = at_once {
        return Some(done);
    }
    yield_now().await;
    timeout(time, work).await.ok()
}

/// After how long a dial is shared; nearly all are answered before, and cost nothing here.
const SOON: Duration = Duration::from_millis(250);
/// How long an endpoint that failed is picked last.
const PICKED_LAST: Duration = Duration::from_secs(5);
/// How long nobody dials an endpoint that was silent until the time-out.
const NOT_DIALLED_AGAIN: Duration = Duration::from_secs(2);
/// How many endpoints are remembered.
const MOST_TROUBLES: usize = 1024;

#[cfg(test)]
mod tests;

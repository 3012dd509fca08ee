//! How long a client may let its connection wait: where it stops in the middle of something, or does nothing at all.
//!
//! Nothing of this costs a read or a request a timer: what happens is counted, and one look at all connections of a lane
//! from time to time tells which of them stand still.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{task::spawn_local, time::sleep};

use super::{frames::Frames, heads::Heads, outlet::Outlet};
use crate::{
    proxy::{
        lane::Lane,
        live::Live,
        settings::{HttpLimits, Settings},
    },
    telemetry::{Denied, Phase},
};

/// All connections of a lane whose requests are served.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Paces(RefCell<Vec<Weak<Pace>>>);

/// How a client's connection goes on.
pub(super) struct Pace {
    limits: HttpLimits,
    pub(super) pulse: Arc<Pulse>,
    /// What has come of the next head.
    heads: Arc<Heads>,
    /// What has come of the next frame, where the client speaks HTTP/2.
    pub(super) frames: Arc<Frames>,
    /// Whether the client was told to go.
    parting: Cell<bool>,
    /// Requests whose exchange is not over, and those that are.
    serving: Cell<u32>,
    served: Cell<u32>,
    /// The request whose body does not come though it is asked for.
    awaited: RefCell<Option<Rc<Live>>>,
    /// The responses of HTTP/2 under way.
    outlets: RefCell<Vec<Rc<Outlet>>>,
    seen: Cell<Option<(Standing, Instant)>>,
    stalled: Cell<Option<Stall>>,
    task: RefCell<Option<Waker>>,
}

/// What has moved at a client's socket: it goes where the socket goes.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    read: AtomicU32,
    written: AtomicU32,
    /// Whether something waits for the client to read.
    blocked: AtomicBool,
}

/// What a client does not go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// With the head of a request, or a frame.
    Head,
    /// With the body of a request.
    Body,
    /// With reading.
    Reading,
    /// With nothing in time: the response's own time is over.
    Late,
    /// With anything, of which nothing has begun.
    Idle,
}

/// A moment of a connection; while it is the same, the connection stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    stall: Stall,
    /// Counts what would be another moment.
    step: u32,
}

// === impl Paces ===

impl Paces {
    /// Looks after a connection until it is over.
    pub(super) fn watch(&self, pace: &Rc<Pace>, lane: &Rc<Lane>) {
        let mut watched = self.0.borrow_mut();
        if watched.is_empty() {
            spawn_local(sweep(lane.clone()));
        }
        watched.push(Rc::downgrade(pace));
    }

    /// Looks at all connections; false when there are none.
    fn look(&self, is_stopping: bool) -> bool {
        let now = Instant::now();
        let mut watched = self.0.borrow_mut();
        watched.retain(|pace| {
            let pace = pace.upgrade();
            pace.inspect(|pace| pace.look(now, is_stopping)).is_some()
        });
        !watched.is_empty()
    }
}

/// Looks at the lane's connections for as long as there are any.
async fn sweep(lane: Rc<Lane>) {
    let pause = pause(&lane.shared.settings);
    loop {
        sleep(pause).await;
        if !lane.paces.look(lane.stopping.is_cancelled()) {
            return;
        }
    }
}

/// How often is looked: often enough for the shortest limit.
fn pause(settings: &Settings) -> Duration {
    let HttpLimits { head, stall, idle } = settings.http;
    (head.min(stall).min(idle) / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(limits: HttpLimits, heads: Arc<Heads>) -> Rc<Self> {
        Rc::new(Self {
            limits,
            pulse: Arc::default(),
            heads,
            frames: Arc::default(),
            parting: Cell::default(),
            serving: Cell::default(),
            served: Cell::default(),
            awaited: RefCell::default(),
            outlets: RefCell::default(),
            seen: Cell::default(),
            stalled: Cell::default(),
            task: RefCell::default(),
        })
    }

    /// Notes that a request has begun.
    pub(super) fn begun(&self) {
        self.serving.set(self.serving.get() + 1);
    }

    /// Notes that a request is over.
    pub(super) fn ended(&self, request: &Rc<Live>) {
        self.serving.set(self.serving.get() - 1);
        self.served.set(self.served.get().wrapping_add(1));
        self.awaited
            .borrow_mut()
            .take_if(|awaited| Rc::ptr_eq(awaited, request));
    }

    /// Notes that a response of HTTP/2 is to be written.
    pub(super) fn writes(&self, outlet: &Rc<Outlet>) {
        self.outlets.borrow_mut().push(outlet.clone());
    }

    /// Notes that it is written, or cut.
    pub(super) fn has_written(&self, outlet: &Rc<Outlet>) {
        let mut outlets = self.outlets.borrow_mut();
        if let Some(index) = outlets.iter().position(|own| Rc::ptr_eq(own, outlet)) {
            outlets.swap_remove(index);
        }
    }

    /// Notes that the body of a request does not come, or that it does.
    pub(super) fn awaits(&self, request: Option<&Rc<Live>>) {
        self.awaited.replace(request.cloned());
    }

    /// Waits until the connection stands still for too long. A body that does ends only its own request.
    pub(super) async fn stalled(&self) -> Stall {
        poll_fn(|cx| match self.stalled.get() {
            Some(stall) => Poll::Ready(stall),
            None => {
                let mut task = self.task.borrow_mut();
                if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                    *task = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }

    /// Notes that the time of the response is over which the connection carries, as the only one.
    pub(super) fn is_late(&self) {
        self.stalls(Stall::Late);
    }

    /// Notes that the client was told to go, and when nothing is served any more is soon left.
    pub(super) fn parts(&self) {
        self.parting.set(true);
        self.seen.take();
        self.stalled.take();
    }

    fn look(&self, now: Instant, is_stopping: bool) {
        let is_blocked = self.pulse.blocked.load(Relaxed);
        for outlet in &*self.outlets.borrow() {
            outlet.look(now, self.limits.stall, is_blocked);
        }
        let standing = self.standing();
        let since = match (self.seen.get(), standing) {
            (Some((seen, since)), Some(standing)) if seen == standing => since,
            _ => now,
        };
        self.seen.set(standing.map(|standing| (standing, since)));
        let Some(Standing { stall, .. }) = standing else { return };
        let limit = match stall {
            Stall::Head => self.limits.head,
            Stall::Body | Stall::Reading | Stall::Late => self.limits.stall,
            Stall::Idle if self.parting.get() => self.limits.idle.min(PARTING),
            // A client that is about to ask is never left first while the agent drains.
            Stall::Idle if is_stopping => return,
            Stall::Idle => self.limits.idle,
        };
        if now - since < limit {
            return;
        }
        match stall {
            Stall::Body => {
                if let Some(request) = self.awaited.take() {
                    request.cut(Denied::RequestTimeout);
                }
            }
            Stall::Head | Stall::Reading | Stall::Late | Stall::Idle => {
                self.stalls(stall);
            }
        }
    }

    fn stalls(&self, stall: Stall) {
        self.stalled.set(Some(stall));
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// What the connection waits for, where that is its client.
    fn standing(&self) -> Option<Standing> {
        let Pulse { read, written, blocked } = &*self.pulse;
        let (stall, step) = if blocked.load(Relaxed) {
            (Stall::Reading, written.load(Relaxed))
        } else if let Some(step) = self.frames.begun() {
            // Whatever is served: nothing else can come before it is whole.
            (Stall::Head, step)
        } else if self.serving.get() == 0 {
            match self.heads.begun() {
                true => (Stall::Head, self.served.get()),
                false => (Stall::Idle, self.served.get()),
            }
        } else {
            // An upstream that has answered may talk with its client for as long as both like.
            let awaited = self.awaited.borrow();
            awaited
                .as_ref()
                .filter(|request| request.phase() == Phase::Connecting)?;
            (Stall::Body, read.load(Relaxed))
        };
        Some(Standing { stall, step })
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("pulse", &self.pulse)
            .field("serving", &self.serving)
            .finish_non_exhaustive()
    }
}

// === impl Pulse ===

impl Pulse {
    /// Notes that something was read.
    pub(super) fn has_read(&self) {
        self.read.fetch_add(1, Relaxed);
    }

    /// Notes what became of a write.
    pub(super) fn has_written<T>(&self, written: &Poll<T>) {
        self.blocked.store(written.is_pending(), Relaxed);
        if written.is_ready() {
            self.written.fetch_add(1, Relaxed);
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a client that was told to go may do nothing: it answers within a round trip (RFC 9113, 6.8).
const PARTING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HttpLimits = HttpLimits {
        head: Duration::from_secs(1),
        stall: Duration::from_secs(2),
        idle: Duration::from_secs(3),
    };

    /// Looks once a second, after `act`; the second at which the connection was found to stand still, and how.
    fn watch(heads: &Arc<Heads>, is_stopping: bool, mut act: impl FnMut(&Pace, u64)) -> Option<(u64, Stall)> {
        let pace = Pace::new(LIMITS, heads.clone());
        let begun = Instant::now();
        (0..10).find_map(|second| {
            act(&pace, second);
            pace.look(begun + Duration::from_secs(second), is_stopping);
            pace.stalled.get().map(|stall| (second, stall))
        })
    }

    #[test]
    fn a_connection_on_which_nothing_happens_is_idle_but_not_while_the_agent_drains() {
        let heads = Arc::<Heads>::default();
        assert_eq!(watch(&heads, false, |_, _| {}), Some((3, Stall::Idle)));
        assert_eq!(watch(&heads, true, |_, _| {}), None);
        let asks = |pace: &Pace, second| pace.served.set(second as u32);
        assert_eq!(watch(&heads, false, asks), None, "each request is a new beginning");
    }

    #[test]
    fn a_head_has_its_time_as_a_whole_and_an_empty_line_is_none() {
        let heads = Arc::<Heads>::default();
        let drips = |pace: &Pace, _| {
            heads.hear(b"X");
            pace.pulse.has_read();
        };
        assert_eq!(watch(&heads, true, drips), Some((1, Stall::Head)));
        heads.body_ended();
        heads.hear(b"\r\n");
        assert_eq!(watch(&heads, false, |_, _| {}), Some((3, Stall::Idle)));
    }

    #[test]
    fn a_client_that_reads_slowly_is_one_that_reads_and_a_request_that_is_served_waits_for_nobody() {
        let heads = Arc::<Heads>::default();
        let blocked = |pace: &Pace, _| pace.pulse.has_written(&Poll::<()>::Pending);
        assert_eq!(watch(&heads, true, blocked), Some((2, Stall::Reading)));
        let slow = |pace: &Pace, _| {
            pace.pulse.has_written(&Poll::Ready(()));
            pace.pulse.has_written(&Poll::<()>::Pending);
        };
        assert_eq!(watch(&heads, false, slow), None);
        let served = |pace: &Pace, second| {
            if second == 0 {
                pace.begun();
            }
        };
        assert_eq!(watch(&heads, false, served), None);
    }
}

//! One response of HTTP/2 on its way to its client, which may read all streams of its connection but this one.
//!
//! The library asks for more of a body when the client has made room for what it has. Until then nobody looks at the body,
//! and a cut of the request is noticed here.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::task_local;

use crate::{proxy::live::Live, telemetry::Denied};

task_local! {
    static OUTLET: Rc<Outlet>;
}

/// The way out of one response.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// The request.
    live: RefCell<Option<Rc<Live>>>,
    /// Whether something waits for the client to make room.
    is_full: Cell<bool>,
    /// Counts what came before it.
    step: Cell<u32>,
    seen: Cell<Option<(u32, Instant)>>,
}

// === impl Outlet ===

impl Outlet {
    /// Runs the task of one request, until its response is written or a cut finds it waiting for the client.
    pub(super) async fn run(task: impl Future<Output = ()>) {
        let outlet = Rc::<Self>::default();
        let mut task = pin!(OUTLET.scope(outlet.clone(), task));
        poll_fn(|cx| match task.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => outlet.poll_cut(cx),
        })
        .await;
    }

    /// That of the task in which this is asked; none where it is no request's of HTTP/2.
    pub(super) fn current() -> Option<Rc<Self>> {
        OUTLET.try_with(Rc::clone).ok()
    }

    /// Notes whose response it is.
    pub(super) fn serves(&self, request: &Rc<Live>) {
        self.live.replace(Some(request.clone()));
    }

    /// Notes that the library was given something to write, which waits until it asks for more.
    pub(super) fn is_given(&self) {
        self.is_full.set(true);
        self.step.set(self.step.get().wrapping_add(1));
    }

    /// Notes that the library asks for more.
    pub(super) fn is_asked(&self) {
        self.is_full.set(false);
    }

    /// Cuts the request where its client has made no room for so long. While `is_blocked`, it is the connection that is not
    /// read, and none of its streams can be.
    pub(super) fn look(&self, now: Instant, limit: Duration, is_blocked: bool) {
        if !self.is_full.get() || is_blocked {
            self.seen.take();
            return;
        }
        let step = self.step.get();
        let since = match self.seen.get() {
            Some((seen, since)) if seen == step => since,
            Some(_) | None => now,
        };
        self.seen.set(Some((step, since)));
        if now - since >= limit
            && let Some(live) = &*self.live.borrow()
        {
            live.cut(Denied::RequestTimeout);
        }
    }

    /// Waits for a cut that nobody else notices.
    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.live.borrow() {
            Some(live) if self.is_full.get() => live.poll_cut(cx).map(drop),
            Some(_) | None => Poll::Pending,
        }
    }
}

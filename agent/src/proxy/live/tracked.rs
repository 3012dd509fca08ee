//! The guard of an open connection: registered as long as it lives.

use std::{ops::Deref, rc::Rc};

use super::{Live, Registry};
use crate::telemetry::Telemetry;

/// Keeps a connection registered; its end is the report.
#[derive(Debug)]
pub(in crate::proxy) struct Tracked {
    pub(super) live: Rc<Live>,
    pub(super) registry: Rc<Registry>,
    pub(super) telemetry: Telemetry,
    pub(super) reported: bool,
}

// === impl Tracked ===

impl Deref for Tracked {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.live
    }
}

impl Tracked {
    /// Notes that the upstream has answered, by when the direction is known.
    pub(in crate::proxy) fn connected(&self) {
        if self.live.connect_time.get().is_some() {
            return;
        }
        self.live.connect_time.set(Some(self.live.accepted.elapsed()));
        self.telemetry.opened(self.live.direction.get());
        self.registry.news.notify_waiters();
    }

    /// What is known of it, for who outlives this guard.
    pub(in crate::proxy) fn live(&self) -> &Rc<Live> {
        &self.live
    }

    /// Ends without a report: it was no connection of an application.
    pub(in crate::proxy) fn forget(self) {
        drop(self.untold());
    }

    /// Goes on without a report at its end.
    pub(in crate::proxy) fn untold(mut self) -> Self {
        self.reported = false;
        self
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut open = self.registry.open.borrow_mut();
        open.remove(&self.live.id);
        if open.is_empty() {
            open.shrink_to(KEPT_CAPACITY);
        }
        self.registry.news.notify_waiters();
        drop(open);
        if self.reported {
            self.telemetry.closed(self.live.report());
        }
    }
}

/// How large the table of a lane without connections may stay.
const KEPT_CAPACITY: usize = 1024;

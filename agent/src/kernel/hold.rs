//! What keeps a pod's rules and routes in place: replies of live connections need them after the pod has left the mesh.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc::UnboundedSender;

use crate::net::Cookie;

/// Keeps the rules and routes of a pod's namespace until it and all its clones are dropped.
#[derive(Clone)]
pub struct Hold(#[expect(dead_code, reason = "held for its Drop")] Arc<Guard>);

/// All clones of one [`Hold`] on this namespace were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Released(pub(super) Cookie);

struct Guard {
    cookie: Cookie,
    tell: UnboundedSender<Released>,
}

// === impl Hold ===

impl Hold {
    /// Makes the first hold of a capture. The one writer of rules and routes is told when the last is dropped: it alone
    /// knows whether the namespace was captured anew meanwhile.
    pub(super) fn new(cookie: Cookie, tell: UnboundedSender<Released>) -> Self {
        Self(Arc::new(Guard { cookie, tell }))
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

// === impl Guard ===

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody listens when the agent ends: rules and routes then wait for its successor.
        let _ended = self.tell.send(Released(self.cookie));
    }
}

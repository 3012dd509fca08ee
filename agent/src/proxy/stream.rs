//! A connection that ends by RST unless both sides have said all.

use std::ops::{Deref, DerefMut};

use tokio::net::TcpStream;

use crate::{net, telemetry::Denied};

/// A TCP connection which is reset when it is dropped, and closed in peace by [`ResetOnDrop::close`] only.
///
/// The kernel accepts a client before its upstream is known. Whatever goes wrong later, the client must not take it for
/// an orderly end.
#[derive(Debug)]
pub(super) struct ResetOnDrop {
    stream: TcpStream,
    finished: bool,
}

// === impl ResetOnDrop ===

impl ResetOnDrop {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            finished: false,
        }
    }

    /// Ends it in order: both sides have sent their FIN.
    pub(super) fn close(mut self) {
        self.finished = true;
    }

    /// Notes that all was said: it ends in order when it is dropped.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }

    /// Notes why no upstream is found. A client that has asked for nothing loses nothing: it is left in order.
    pub(super) fn finish_if_idle(&mut self, denied: Denied) {
        self.finished |= denied == Denied::RequestTimeout;
    }
}

impl Deref for ResetOnDrop {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.stream
    }
}

impl DerefMut for ResetOnDrop {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if !self.finished {
            // SO_LINGER is refused to no open TCP socket (`sk_setsockopt`).
            let _ = net::reset_on_close(&self.stream);
        }
    }
}

//! What an upstream says before its response: `100 Continue`, for which a body waits as its client does, and other
//! 1xx, which go no further.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use http::{HeaderMap, Request, StatusCode, header::EXPECT};
use tokio::time::{Sleep, sleep};

use crate::telemetry::Telemetry;

/// Holds a body back until the upstream asks for it, or has let it wait for too long.
#[derive(Debug)]
pub(super) struct Gate {
    asked: Arc<Asked>,
    patience: Pin<Box<Sleep>>,
}

/// Whether the upstream asked.
#[derive(Debug, Default)]
struct Asked {
    is: AtomicBool,
    body: AtomicWaker,
}

// === impl Gate ===

impl Gate {
    /// A gate for a request that expects one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let expects = headers.get(EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        expects.then(|| Self {
            asked: Arc::default(),
            patience: Box::pin(sleep(PATIENCE)),
        })
    }

    /// Waits until it is open.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the check, so that a word in between is not lost.
        self.asked.body.register(cx.waker());
        if self.asked.is.load(Relaxed) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

/// Listens to what the upstream says before its response: its word opens the gate, and all else is counted.
///
/// The library cannot send other 1xx than 100, which a client gets when its body is read.
pub(super) fn listen<B>(request: &mut Request<B>, gate: Option<&Gate>, telemetry: &Telemetry) {
    let (asked, telemetry) = (gate.map(|gate| gate.asked.clone()), telemetry.clone());
    hyper::ext::on_informational(request, move |informational| match (informational.status(), &asked) {
        (StatusCode::CONTINUE, Some(asked)) => {
            asked.is.store(true, Relaxed);
            asked.body.wake();
        }
        (StatusCode::CONTINUE, None) => {}
        _ => telemetry.dropped_informational(),
    });
}

/// How long an upstream that does not know the expectation is waited for (RFC 9110, 10.1.1: not for ever).
const PATIENCE: Duration = Duration::from_secs(1);

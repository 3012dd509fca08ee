//! `Expect: 100-continue`: a body that waits for the upstream's word, as its client does.

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

/// Holds a body back until the upstream asks for it, or has let it wait for too long.
#[derive(Debug)]
pub(super) struct Gate {
    asked: Arc<Asked>,
    patience: Pin<Box<Sleep>>,
}

/// Opens a gate.
pub(super) struct Opener(Arc<Asked>);

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

    /// What opens the gate.
    pub(super) fn opener(&self) -> Opener {
        Opener(self.asked.clone())
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

// === impl Opener ===

impl Opener {
    /// Has the upstream's word open the gate.
    pub(super) fn listen<B>(self, request: &mut Request<B>) {
        let Self(asked) = self;
        hyper::ext::on_informational(request, move |informational| {
            if informational.status() == StatusCode::CONTINUE {
                asked.is.store(true, Relaxed);
                asked.body.wake();
            }
        });
    }
}

/// How long an upstream that does not know the expectation is waited for (RFC 9110, 10.1.1: not for ever).
const PATIENCE: Duration = Duration::from_secs(1);

//! The kernel room's task, and what comes out of it.

use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_local},
};
use tokio_util::sync::CancellationToken;

use super::doors::Doors;
use crate::{
    kernel::{Change, Inputs, Kernel},
    proxy::Proxy,
};

/// The running capture.
pub(super) struct Capture {
    changes: mpsc::Receiver<Change>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The kernel room has ended though nobody stopped it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the capture of pods has ended by itself")]
pub(super) struct CaptureEnded;

// === impl Capture ===

impl Capture {
    /// Starts the task. Needs a local runtime.
    pub(super) fn start(kernel: Kernel, inputs: Inputs) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES);
        let stop = CancellationToken::new();
        let task = spawn_local(kernel.run(inputs, sender, stop.clone()));
        Self { changes, stop, task }
    }

    /// The next change.
    pub(super) async fn change(&mut self) -> Result<Change, CaptureEnded> {
        self.changes.recv().await.ok_or(CaptureEnded)
    }

    /// Takes the listeners out of the kernel's reach, and passes on what happened until then.
    pub(super) async fn stop(mut self, doors: &mut Doors, proxy: &Proxy) {
        self.stop.cancel();
        while let Some(change) = self.changes.recv().await {
            doors.change(change, proxy);
        }
        if let Err(error) = self.task.await {
            tracing::error!(%error, "Capture of pods has ended badly");
        }
    }
}

/// How many changes may wait; the kernel room waits with them.
const CHANGES: usize = 64;

//! The tasks of one connection of HTTP/2: they stay on its lane, and can be cut together.

use std::future::Future;

use hyper::rt::Executor;
use tokio::task::spawn_local;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::outlet::Outlet;

/// Where the library runs what belongs to one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(CancellationToken);

/// The same of a client's connection, each of whose requests can be cut alone.
#[derive(Clone, Debug)]
pub(super) struct Responses(pub(super) Tasks);

// === impl Tasks ===

impl Tasks {
    /// Drops all of them, and with them the connection.
    pub(super) fn cut(&self) {
        self.0.cancel();
    }

    /// Cuts them at the end of the guard.
    pub(super) fn guard(&self) -> DropGuard {
        self.0.clone().drop_guard()
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        let Self(cut) = self.clone();
        spawn_local(async move {
            // Whether it came to its end is its own business.
            let _ = cut.run_until_cancelled(task).await;
        });
    }
}

// === impl Responses ===

impl<F> Executor<F> for Responses
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, task: F) {
        let Self(tasks) = self;
        // A request's is large: it stays where it is put, whatever is wrapped around it.
        tasks.execute(Outlet::run(Box::pin(task)));
    }
}

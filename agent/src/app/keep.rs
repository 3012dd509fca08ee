//! Keeping the mesh on disk while its source is there: a thread of its own, since a large one takes a while to write.

use std::{io, path::PathBuf, thread, time::Duration};

use tokio::{
    runtime::Builder,
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::{Contact, Update},
    kernel::with_causes,
    store::{Store, StoreError},
};

/// The store in a folder; without one the agent does its work all the same.
pub(super) fn open(folder: PathBuf) -> Option<Store> {
    let opened = Store::open(folder);
    opened
        .inspect_err(|error| tracing::warn!(error = %with_causes(error), "The mesh is not kept"))
        .ok()
}

/// Starts the thread; it ends with whoever writes the updates.
pub(super) fn start(store: Store, updates: watch::Receiver<Update>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let keep = move || runtime.block_on(keep(&store, updates));
    thread::Builder::new().name("store".into()).spawn(keep).map(drop)
}

async fn keep(store: &Store, mut updates: watch::Receiver<Update>) {
    let mut kept = None;
    let mut told = None;
    loop {
        let begun = Instant::now();
        let update = updates.borrow_and_update().clone();
        let generation = Some(update.mesh.generation);
        let done: Result<(), StoreError> = match update.contact {
            Contact::Lost { .. } => Ok(()),
            Contact::Fresh if kept == generation => store.confirm(),
            Contact::Fresh => store.save(&update.mesh).inspect(|()| kept = generation),
        };
        match done {
            Ok(()) => told = None,
            Err(error) => {
                kept = None;
                let error = with_causes(&error);
                if told.as_ref() != Some(&error) {
                    tracing::warn!(%error, "The mesh is not kept");
                }
                told = Some(error);
            }
        }
        let effort = begun.elapsed();
        match timeout(CONFIRMATION, updates.changed()).await {
            Ok(Err(_ended)) => return,
            // Changes come in bursts, and a large mesh that never rests is not all that the disk is there for.
            Ok(Ok(())) => sleep(BURST.max(effort * LEISURE)).await,
            Err(_elapsed) => {}
        }
    }
}

/// How often it is noted that the source still says what is kept.
const CONFIRMATION: Duration = Duration::from_secs(5);

/// How long a change waits for more of them.
const BURST: Duration = Duration::from_millis(500);

/// A change waits at least so many times as long as it last took to write the mesh.
const LEISURE: u32 = 20;

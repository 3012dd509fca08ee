//! A folder of manifests as a CA reads it: the pods of all nodes.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use tokio::sync::watch;

use super::{
    super::assemble::roster,
    Error,
    folder::Folder,
    follow::{Watched, wait_for_quiet},
};
use crate::model::Roster;

/// Reads a folder of manifests for the pods of all nodes and follows it, by a thread that ends when nobody listens.
pub fn follow_roster(path: &Path) -> Result<watch::Receiver<Arc<Roster>>, Error> {
    // Watched before it is read, so that no change falls between the two.
    let (wake, woken) = mpsc::channel();
    let mut watched = Watched::new(path.to_path_buf(), wake)?;
    watched.start()?;
    let mut folder = Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let (updates, receiver) = watch::channel(Arc::new(roster(&folder.collected().objects)));
    let follow = move || {
        while !updates.is_closed() {
            wait_for_quiet(&woken, folder.is_there());
            watched.renew();
            if folder.refresh() {
                updates.send_replace(Arc::new(roster(&folder.collected().objects)));
            }
        }
    };
    let thread = thread::Builder::new().name("manifests".into());
    thread.spawn(follow).map_err(Error::Thread)?;
    Ok(receiver)
}

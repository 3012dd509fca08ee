//! A folder of manifests as a CA reads it: the pods of all nodes.

use std::{path::Path, sync::Arc, thread};

use tokio::sync::watch;

use super::{super::assemble::roster, Error, folder::Folder, watched::Watched};
use crate::model::Roster;

/// Reads a folder of manifests for the pods of all nodes and follows it, by a thread that ends when nobody listens.
pub fn follow_roster(path: &Path) -> Result<watch::Receiver<Arc<Roster>>, Error> {
    let mut watched = Watched::start(path.to_path_buf())?;
    let mut folder = Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let (updates, receiver) = watch::channel(Arc::new(roster(&folder.collected().objects)));
    let follow = move || {
        while !updates.is_closed() {
            let changed = watched.next_change(folder.is_there());
            if folder.refresh(&changed) {
                updates.send_replace(Arc::new(roster(&folder.collected().objects)));
            }
        }
    };
    let thread = thread::Builder::new().name("manifests".into());
    thread.spawn(follow).map_err(Error::Thread)?;
    Ok(receiver)
}

//! Following a folder as the agent of a node: each change makes the next mesh.

use std::{path::Path, sync::Arc, thread, time::SystemTime};

use tokio::sync::watch;

use super::{
    super::{Contact, LastKnown, Update, assemble::assemble, slices::Backends},
    Error,
    folder::Folder,
    watched::Watched,
};
use crate::model::{Contents, Mesh};

/// Reads a folder of manifests as the agent of `node` and follows it.
///
/// What is returned already holds the first full list. Where an earlier mesh is known, the folder may be away or hold no
/// object at all, as a folder does on which something is not mounted yet: that mesh is used until the folder is there. A
/// thread of its own writes the later ones; it ends when all receivers are gone.
pub fn follow(path: &Path, node: &str, last_known: Option<LastKnown>) -> Result<watch::Receiver<Update>, Error> {
    let (watched, folder) = match &last_known {
        Some(_) => {
            let watched = Watched::start_or_away(path.to_path_buf())?;
            (watched, Folder::open_or_away(path.to_path_buf()))
        }
        None => {
            let watched = Watched::start(path.to_path_buf())?;
            let folder = Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
                path: path.to_path_buf(),
                source,
            })?;
            (watched, folder)
        }
    };
    let confirmed = last_known
        .as_ref()
        .map_or_else(SystemTime::now, |known| known.confirmed);
    let (updates, receiver) = watch::channel(Update {
        mesh: Arc::default(),
        problems: Arc::default(),
        contact: Contact::Fresh,
    });
    let mut follower = Follower {
        folder,
        node: node.into(),
        watched,
        updates,
        last_known,
        confirmed,
    };
    follower.begin();
    thread::Builder::new()
        .name("manifests".into())
        .spawn(|| follower.run())
        .map_err(Error::Thread)?;
    Ok(receiver)
}

/// The thread's state: the one writer of the mesh.
struct Follower {
    folder: Folder,
    node: Arc<str>,
    watched: Watched,
    updates: watch::Sender<Update>,
    /// What is used until the folder has said something.
    last_known: Option<LastKnown>,
    /// When the folder last said what the mesh is.
    confirmed: SystemTime,
}

// === impl Follower ===

impl Follower {
    fn begin(&mut self) {
        let contact = self.contact();
        let contents = match &self.last_known {
            Some(known) => known.contents.clone(),
            None => self.assembled(),
        };
        self.updates.send_replace(Update {
            mesh: Arc::new(Mesh::new(Contents {
                generation: 1,
                ..contents
            })),
            problems: self.folder.collected().problems.clone().into(),
            contact,
        });
    }

    /// Runs until nobody listens any more.
    fn run(mut self) {
        while !self.updates.is_closed() {
            let changed = self.watched.next_change(self.folder.is_there());
            let differs = self.folder.refresh(&changed);
            let contact = self.contact();
            if differs {
                self.publish(contact);
            }
        }
    }

    /// Whether the folder says what the mesh is; from then on nothing older counts.
    fn contact(&mut self) -> Contact {
        let says_nothing = self.last_known.is_some() && self.folder.collected().placed.is_empty();
        if !self.folder.is_there() || says_nothing {
            return Contact::Lost { since: self.confirmed };
        }
        self.last_known = None;
        self.confirmed = SystemTime::now();
        Contact::Fresh
    }

    fn assembled(&self) -> Contents {
        let objects = &self.folder.collected().objects;
        assemble(objects, &Backends::new(objects), &self.node)
    }

    fn publish(&self, contact: Contact) {
        let collected = self.folder.collected();
        let contents = match self.last_known {
            Some(_) => None,
            None => Some(self.assembled()),
        };
        self.updates.send_modify(|update| {
            if let Some(mesh) = contents.and_then(|contents| update.mesh.changed(contents)) {
                update.mesh = Arc::new(mesh);
            }
            update.problems = collected.problems.clone().into();
            update.contact = contact;
        });
    }
}

//! The pods of all nodes, as a CA follows them: the only follower of a whole cluster's pods.

use std::{future, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Contact,
    api::ApiServer,
    assemble::roster,
    objects::{Kind, Scope},
    watch::{Pace, Subject, World},
};
use crate::model::Roster;

/// A roster that is followed; cheap to clone.
#[derive(Clone, Debug)]
pub struct FollowedRoster {
    roster: watch::Receiver<Arc<Roster>>,
    /// Whether it is what its source says; none where the source is never away.
    contact: Option<watch::Receiver<Contact>>,
    _task: Option<Arc<AbortOnDropHandle<()>>>,
}

// === impl FollowedRoster ===

impl FollowedRoster {
    /// One whose source is never away.
    pub fn of_files(roster: watch::Receiver<Arc<Roster>>) -> Self {
        Self {
            roster,
            contact: None,
            _task: None,
        }
    }

    /// That of a cluster; waits until the API server has told all pods, namespaces and nodes. Needs a tokio runtime.
    pub async fn of_cluster(server: &ApiServer) -> Self {
        let subjects = [Kind::Namespace, Kind::Pod, Kind::Node].map(Subject::all).into();
        let mut world = World::follow(server, subjects, Scope::Cluster, Pace::default());
        while !world.is_complete() {
            world.changed(BATCH).await;
        }
        let (sender, followed) = watch::channel(Arc::new(roster(&world.objects())));
        let (contact, contact_followed) = watch::channel(world.contact());
        let task = tokio::spawn(async move {
            loop {
                let changed = world.changed(BATCH).await;
                if changed.objects {
                    sender.send_replace(Arc::new(roster(&world.objects())));
                }
                contact.send_replace(world.contact());
            }
        });
        Self {
            roster: followed,
            contact: Some(contact_followed),
            _task: Some(Arc::new(AbortOnDropHandle::new(task))),
        }
    }

    /// The roster at this moment; [`Self::changed`] waits for another one.
    pub fn look(&mut self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow_and_update())
    }

    /// Waits until the roster is another one than at the last look.
    pub async fn changed(&mut self) {
        if self.roster.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }

    /// The roster at this moment.
    pub fn now(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.borrow())
    }

    /// Waits until the roster is such, but no longer than `patience`; gives what it is then.
    pub async fn until(&self, patience: Duration, mut such: impl FnMut(&Roster) -> bool) -> Arc<Roster> {
        let mut roster = self.roster.clone();
        // Where nobody writes it any more, what it is stays what it is.
        let _ = timeout(patience, roster.wait_for(|roster| such(roster))).await;
        self.now()
    }

    /// Whether it is what its source says.
    pub fn is_fresh(&self) -> bool {
        let contact = self.contact.as_ref().map(|contact| *contact.borrow());
        contact.is_none_or(|contact| contact == Contact::Fresh)
    }
}

/// How long a change waits for more of them: the whole roster is put together anew.
const BATCH: Duration = Duration::from_millis(100);

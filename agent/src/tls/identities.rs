//! The certificates of this node's pods at this moment, and whom they believe.

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use agent_common::MeshId;
use tokio::sync::watch;

use super::{
    Credentials, Peer,
    credentials::{Issued, Unusable},
    trust::Trust,
};
use crate::model::PodUid;

/// The certificates of this node's pods; cheap to clone, read by all threads, written by the one task that gets them.
#[derive(Clone)]
pub struct Identities(Arc<Shared>);

struct Shared {
    held: watch::Sender<Held>,
    trust: watch::Sender<Option<Arc<Trust>>>,
    changes: watch::Sender<u64>,
    mesh_id: watch::Sender<Option<MeshId>>,
}

type Held = Arc<BTreeMap<PodUid, Arc<Credentials>>>;

// === impl Identities ===

impl Identities {
    /// Nobody's certificates, before a CA has answered.
    pub fn none() -> Self {
        Self(Arc::new(Shared {
            held: watch::Sender::default(),
            trust: watch::Sender::default(),
            changes: watch::Sender::default(),
            mesh_id: watch::Sender::default(),
        }))
    }

    /// The pod's certificate, if it has one that is valid at this moment.
    pub fn of(&self, uid: &PodUid) -> Option<Arc<Credentials>> {
        valid(&self.0.held.borrow(), uid)
    }

    /// The pod's certificate, waiting for one to be issued. The caller sets the time limit.
    pub async fn issued(&self, uid: &PodUid) -> Arc<Credentials> {
        let mut held = self.0.held.subscribe();
        loop {
            if let Some(credentials) = valid(&held.borrow_and_update(), uid) {
                return credentials;
            }
            // The sender lives as long as `self`.
            let _ = held.changed().await;
        }
    }

    /// All certificates, valid or not, in the order of the pods' UIDs.
    pub fn all(&self) -> Vec<Arc<Credentials>> {
        self.0.held.borrow().values().cloned().collect()
    }

    /// Whether a live connection with this peer is to be cut: the deny-list names it, or its root has left.
    ///
    /// That its certificate is over cuts nothing that is open.
    pub fn refuses(&self, peer: &Peer) -> bool {
        let trust = self.0.trust.borrow();
        trust.as_ref().is_none_or(|trust| trust.rules().standing(peer).is_err())
    }

    /// Counts up when live connections are to be examined again: the roots or the deny-list have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The mesh's id, once the CA has told it: it comes from a random number that a CA draws once, and keeps when its roots
    /// rotate.
    pub fn mesh_id(&self) -> watch::Receiver<Option<MeshId>> {
        self.0.mesh_id.subscribe()
    }

    pub(super) fn set_mesh_id(&self, id: MeshId) {
        self.0.mesh_id.send_if_modified(|known| known.replace(id) != Some(id));
    }

    /// Believes others from here on: what was derived from the old trust is made anew, sessions and tickets are lost.
    pub(super) fn set_trust(&self, trust: Trust) {
        self.0.trust.send_replace(Some(Arc::new(trust)));
        let anew: BTreeMap<PodUid, Arc<Credentials>> = self
            .all()
            .into_iter()
            .filter_map(|old| Some((old.uid().clone(), self.derive(old.issued().clone()).ok()?)))
            .collect();
        self.0.held.send_replace(Arc::new(anew));
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Holds a certificate in place of the pod's last one.
    pub(super) fn put(&self, issued: Issued) -> Result<(), Unusable> {
        let credentials = self.derive(issued)?;
        self.0.held.send_modify(|held| {
            Arc::make_mut(held).insert(credentials.uid().clone(), credentials);
        });
        Ok(())
    }

    /// Keeps the certificates of these pods only.
    pub(super) fn retain(&self, keep: impl Fn(&PodUid) -> bool) {
        self.0.held.send_if_modified(|held| {
            let gone = held.keys().any(|uid| !keep(uid));
            if gone {
                Arc::make_mut(held).retain(|uid, _| keep(uid));
            }
            gone
        });
    }

    fn derive(&self, issued: Issued) -> Result<Arc<Credentials>, Unusable> {
        Ok(Arc::new(Credentials::new(issued, self.0.trust.subscribe())?))
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.held.borrow();
        f.debug_tuple("Identities").field(&held.keys()).finish()
    }
}

fn valid(held: &Held, uid: &PodUid) -> Option<Arc<Credentials>> {
    let credentials = held.get(uid)?;
    credentials.valid_at(SystemTime::now()).then(|| Arc::clone(credentials))
}

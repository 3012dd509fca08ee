//! All that is open on a lane.

use std::{cell::RefCell, collections::HashMap, pin::pin, rc::Rc, sync::Arc};

use tokio::sync::Notify;

use super::Live;
use crate::{
    model::{Mesh, PodUid},
    proxy::{Shared, door::OpenDoor},
    telemetry::{ConnectionId, Denied, LiveConnection, Phase},
};

/// The open connections of a lane, and the requests on them.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Registry {
    pub(super) open: RefCell<HashMap<ConnectionId, Rc<Live>>>,
    /// Told of each that is answered, and of each that ends.
    pub(in crate::proxy) news: Notify,
}

// === impl Registry ===

impl Registry {
    /// What `weft debug conn show` prints.
    pub(in crate::proxy) fn show(&self) -> Vec<LiveConnection> {
        self.open.borrow().values().map(|live| live.show()).collect()
    }

    /// Cuts one; false when it is not here.
    pub(in crate::proxy) fn kill(&self, id: ConnectionId) -> bool {
        let found = self.open.borrow().get(&id).cloned();
        found.inspect(|live| live.cut(Denied::Killed)).is_some()
    }

    /// Cuts all that end at this pod.
    pub(in crate::proxy) fn cut_pod(&self, uid: &PodUid) {
        self.cut_where(Denied::PodGone, |live| {
            let is_pod = |door: &Arc<OpenDoor>| door.pod.uid == *uid;
            is_pod(&live.door) || live.far_door.borrow().as_ref().is_some_and(is_pod)
        });
    }

    /// Cuts what may not be any more.
    pub(in crate::proxy) fn judge(&self, mesh: &Mesh, shared: &Shared) {
        let open: Vec<_> = self.open.borrow().values().cloned().collect();
        for live in open {
            live.judge(mesh, shared);
        }
    }

    /// Cuts all.
    pub(in crate::proxy) fn cut_all(&self, denied: Denied) {
        self.cut_where(denied, |_| true);
    }

    /// Waits until none is left.
    pub(in crate::proxy) async fn empty(&self) {
        self.until(|open| open.is_empty()).await;
    }

    /// Waits until each that is left was answered by its upstream; says whether there was anything to wait for.
    pub(in crate::proxy) async fn answered(&self) -> bool {
        let are_answered =
            |open: &HashMap<ConnectionId, Rc<Live>>| open.values().all(|live| live.phase() == Phase::Open);
        if are_answered(&self.open.borrow()) {
            return false;
        }
        self.until(are_answered).await;
        true
    }

    /// Waits until none of those is left that are open at this moment.
    pub(in crate::proxy) async fn turned_over(&self) {
        let present: Vec<_> = self.open.borrow().keys().copied().collect();
        self.until(|open| !present.iter().any(|id| open.contains_key(id))).await;
    }

    async fn until(&self, such: impl Fn(&HashMap<ConnectionId, Rc<Live>>) -> bool) {
        let mut news = pin!(self.news.notified());
        loop {
            // Register before the check, so that the last one is not missed.
            news.as_mut().enable();
            if such(&self.open.borrow()) {
                return;
            }
            news.as_mut().await;
            news.set(self.news.notified());
        }
    }

    fn cut_where(&self, denied: Denied, affected: impl Fn(&Live) -> bool) {
        self.open
            .borrow()
            .values()
            .filter(|live| affected(live))
            .for_each(|live| live.cut(denied));
    }
}

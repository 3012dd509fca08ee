//! How captures end: what a pod opens passes by first, and what is under way is served.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep_until};

use super::{Change, Departure, Kernel, apply::said, desired::Desired, locate::Namespaces, run::Stopped};
use crate::{
    model::{Pod, PodUid},
    net::Cookie,
};

/// Pods that were let go and are still captured.
pub(super) struct Leaving {
    pods: Vec<(PodUid, Departure)>,
    cookies: BTreeSet<Cookie>,
    /// When the last of what they opened was marked, where that matters.
    last_mark: Option<Instant>,
}

// === impl Leaving ===

impl Leaving {
    /// Whether a pod is in the namespace of one of them.
    pub(super) fn has_namespace_of(&self, pod: &Pod, namespaces: &Namespaces) -> bool {
        if self.cookies.is_empty() {
            return false;
        }
        let cookie = namespaces.of(pod).ok().and_then(|netns| netns.cookie().ok());
        cookie.is_some_and(|cookie| self.cookies.contains(&cookie))
    }
}

// === impl Kernel ===

impl Kernel {
    /// Ends captures at once.
    pub(super) async fn release(
        &mut self,
        release: Vec<(PodUid, Departure)>,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
    ) -> Result<(), Stopped> {
        let leaving = self.let_go(release);
        self.end(leaving, desired, changes).await
    }

    /// Lets pods pass by: what they open is marked no longer, and what is marked already finds the listeners still there.
    pub(super) fn let_go(&mut self, release: Vec<(PodUid, Departure)>) -> Leaving {
        let mut cookies = BTreeSet::new();
        for (uid, _) in &release {
            let cookie = match self.captures.get(uid) {
                Some(capture) => {
                    said("Pod cannot be let in", capture.let_in());
                    Some(capture.cookie)
                }
                None => self.pinned_cookie(uid),
            };
            if let Some(cookie) = cookie {
                said("Pod cannot be let go", self.maps.leave(cookie));
                cookies.insert(cookie);
            }
        }
        let in_flight = release.iter().any(|(_, departure)| *departure == Departure::Left);
        Leaving {
            pods: release,
            cookies,
            last_mark: in_flight.then(Instant::now),
        }
    }

    /// Ends the captures of pods that were let go, when nothing of them is marked and under way any longer.
    pub(super) async fn end(
        &mut self,
        leaving: Leaving,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
    ) -> Result<(), Stopped> {
        if let Some(last_mark) = leaving.last_mark {
            sleep_until((last_mark + IN_FLIGHT).into()).await;
        }
        for (uid, departure) in leaving.pods {
            match self.captures.remove(&uid) {
                Some(capture) => {
                    tracing::info!(pod = %capture.pod.name, ?departure, "Pod released");
                    said("Capture of a pod cannot be undone", capture.release());
                    let change = Change::Down { uid, departure };
                    changes.send(change).await?;
                }
                None => self.discard(&uid, desired),
            }
        }
        Ok(())
    }

    /// Removes what an agent before this one left of a pod that is not to be captured.
    fn discard(&mut self, uid: &PodUid, desired: &Desired) {
        let cookie = self.pinned_cookie(uid);
        self.pinned.remove(uid);
        said("Pins of a pod cannot be removed", self.pins.pod(uid).remove());
        let Some(pod) = desired.others.get(uid) else {
            return;
        };
        // A namespace that is not found any longer has taken its rules and routes with it.
        if let Ok(netns) = Namespaces::new(&self.sandboxes).of(pod)
            && netns.cookie().ok() == cookie
        {
            said("Rules and routes of a pod cannot be removed", super::remove(&netns));
        }
    }
}

/// Longer than a connect() takes from the mark to the SYN, on a busy machine too: an IPv6 connection that finds no
/// listener is refused where the pod fails open (see [`super::silence`]).
pub(super) const IN_FLIGHT: Duration = Duration::from_millis(50);

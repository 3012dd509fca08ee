//! A plan carried out, step by step. Each pod stands for itself: one that fails is tried again and holds up nobody.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use agent_common::PodSettings;
use tokio::{sync::mpsc, task::yield_now, time::sleep};

use super::{
    Change, Departure, Dns, Kernel, KernelError, PodStatus, Status,
    capture::{Candidate, Following, Moved, Tell},
    desired::{Current, Desired, Known, Plan, Terms},
    error::CaptureError,
    hold::Released,
    leave::IN_FLIGHT,
    locate::{Namespaces, Waiting},
    maps::PodMaps,
    run::Stopped,
};
use crate::{
    model::{Pod, PodUid, Transport},
    net::Cookie,
    telemetry::with_causes,
};

impl Kernel {
    /// Makes the kernel be as the mesh says, as far as it can be at the moment.
    pub(super) async fn reconcile(
        &mut self,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
        tell: &Tell,
    ) -> Result<(), Stopped> {
        let plan = desired.diff(&self.current());
        let Plan {
            exempt,
            unexempt,
            include,
            release,
            adjust,
            capture,
            exclude,
        } = plan;
        for address in exempt {
            said("Exemption cannot be added", self.maps.add_exemption(address));
        }
        for address in unexempt {
            said("Exemption cannot be removed", self.maps.remove_exemption(address));
        }
        for prefix in include {
            said("What is inside the cluster cannot be added", self.maps.include(prefix));
        }
        let leaving = self.let_go(release);
        for (uid, terms) in adjust {
            self.adjust(&uid, terms);
        }
        self.waiting.retain(|uid, _| desired.pods.contains_key(uid));
        let namespaces = Namespaces::new(&self.sandboxes);
        // Nobody waits for those who leave but a pod that takes over the namespace of one.
        let (heirs, others): (Vec<_>, Vec<_>) = capture
            .into_iter()
            .partition(|pod| leaving.has_namespace_of(pod, &namespaces));
        self.capture_all(others, &namespaces, changes, tell).await?;
        self.end(leaving, desired, changes).await?;
        self.capture_all(heirs, &namespaces, changes, tell).await?;
        for prefix in exclude {
            said(
                "What is inside the cluster cannot be removed",
                self.maps.exclude(prefix),
            );
        }
        self.publish();
        Ok(())
    }

    /// Ends the captures of pods whose namespace is another than before: the next reconciliation begins anew.
    pub(super) async fn end_moved(&mut self, desired: &Desired, changes: &mpsc::Sender<Change>) -> Result<(), Stopped> {
        let namespaces = Namespaces::new(&self.sandboxes);
        let moved: Vec<(PodUid, Departure)> = self
            .captures
            .iter()
            .filter(|(_, capture)| !namespaces.still(&capture.pod, &capture.netns))
            .map(|(uid, _)| (uid.clone(), Departure::Gone))
            .collect();
        for (uid, _) in &moved {
            tracing::info!(%uid, "Network namespace of a pod is gone");
        }
        self.release(moved, desired, changes).await
    }

    /// Follows what a pod's namespace says of its addresses.
    pub(super) async fn follow_addresses(
        &mut self,
        moved: Moved,
        desired: &Desired,
        changes: &mpsc::Sender<Change>,
    ) -> Result<(), Stopped> {
        let Moved { uid, cookie, addresses } = moved;
        let Some(capture) = self.captures.get_mut(&uid).filter(|capture| capture.cookie == cookie) else {
            return Ok(());
        };
        let following = match addresses {
            Ok(addresses) => capture.follow(&addresses),
            Err(error) => Err(error.into()),
        };
        match following {
            Ok(Following::Done) => {
                self.publish();
                return Ok(());
            }
            Ok(Following::OtherFamilies) => {}
            Err(error) => {
                tracing::warn!(%uid, error = %with_causes(&error), "Pod is captured anew: its addresses cannot be followed");
            }
        }
        self.release(vec![(uid, Departure::Left)], desired, changes).await
    }

    /// Removes rules and routes which nobody needs any longer.
    pub(super) fn released(&mut self, Released(cookie): Released) {
        let Some((netns, count)) = self.holds.get_mut(&cookie) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            said("Rules and routes of a pod cannot be removed", super::remove(netns));
            self.holds.remove(&cookie);
        }
    }

    /// Leaves: whoever fails open passes by from here on, the others wait for the agent after this one.
    pub(super) async fn suspend(&mut self) {
        for capture in self
            .captures
            .values()
            .filter(|capture| !capture.terms.flags.fail_closed())
        {
            said("Pod cannot be let in", capture.let_in());
            said("Pod cannot be let go", capture.let_pass(&mut self.maps));
        }
        sleep(IN_FLIGHT).await;
        for capture in self.captures.values() {
            said("Listeners of a pod cannot be taken back", capture.suspend());
        }
    }

    /// Forgets namespaces which are enrolled and belong to no pod any longer.
    pub(super) fn forget_strangers(&mut self) -> Result<(), KernelError> {
        let pinned = self
            .pinned
            .iter()
            .filter_map(|uid| self.pinned_cookie(uid))
            .collect::<BTreeSet<_>>();
        let known = |cookie: &Cookie| {
            pinned.contains(cookie) || self.captures.values().any(|capture| capture.cookie == *cookie)
        };
        let strangers: Vec<Cookie> = self
            .maps
            .enrolled()?
            .into_iter()
            .filter(|cookie| !known(cookie))
            .collect();
        strangers.into_iter().try_for_each(|cookie| self.maps.leave(cookie))
    }

    fn current(&self) -> Current {
        let pinned = self.pinned.iter().map(|uid| (uid.clone(), Known::Pinned));
        let captured = self
            .captures
            .iter()
            .map(|(uid, capture)| (uid.clone(), Known::Captured(capture.terms.clone())));
        Current {
            pods: pinned.chain(captured).collect(),
            // What cannot be read is written anew.
            exempt: self.maps.exempt().unwrap_or_default(),
            inside: self.maps.inside().unwrap_or_default(),
        }
    }

    async fn capture_all(
        &mut self,
        pods: Vec<Arc<Pod>>,
        namespaces: &Namespaces,
        changes: &mpsc::Sender<Change>,
        tell: &Tell,
    ) -> Result<(), Stopped> {
        for pod in pods {
            let now = Instant::now();
            if self.waiting.get(&pod.uid).is_none_or(|waiting| waiting.next() <= now) {
                self.capture(pod, namespaces, changes, tell).await?;
                // Heartbeat and others run on the same thread.
                yield_now().await;
            }
        }
        Ok(())
    }

    async fn capture(
        &mut self,
        pod: Arc<Pod>,
        namespaces: &Namespaces,
        changes: &mpsc::Sender<Change>,
        tell: &Tell,
    ) -> Result<(), Stopped> {
        let (uid, name) = (pod.uid.clone(), pod.name.clone());
        match self.try_capture(pod, namespaces, tell) {
            Ok(change) => {
                tracing::info!(pod = %name, "Pod captured");
                self.waiting.remove(&uid);
                self.pinned.remove(&uid);
                Ok(changes.send(change).await?)
            }
            Err(error) => {
                self.wait(&uid, &error);
                Ok(())
            }
        }
    }

    fn try_capture(&mut self, pod: Arc<Pod>, namespaces: &Namespaces, tell: &Tell) -> Result<Change, CaptureError> {
        let netns = namespaces.of(&pod)?;
        let pod = self.sandboxes.completed(pod);
        let cookie = netns.cookie()?;
        if cookie == self.host {
            return Err(CaptureError::HostNamespace);
        }
        if let Some((uid, _)) = self.captures.iter().find(|(_, other)| other.cookie == cookie) {
            return Err(CaptureError::SharedNamespace(uid.clone()));
        }
        let uid = pod.uid.clone();
        let pinned = self.pinned_settings(&uid);
        let late = !pinned.is_some_and(|pinned| is_whole(&pinned, cookie)) && namespaces.has_begun(&uid);
        let candidate = Candidate {
            netns: netns.clone(),
            cookie,
            pins: self.pins.pod(&uid),
            terms: Terms::of(&pod, self.udp_egress),
            // Answers are sent from port 53 of other addresses, which a server at that port of all addresses keeps taken.
            dns: if serves_dns(&pod) { Dns::Untouched } else { self.dns },
            pod,
            late,
        };
        let stale = pinned
            .map(|pinned| Cookie(pinned.cookie()))
            .filter(|pinned| *pinned != cookie);
        if let Some(stale) = stale {
            self.maps.leave(stale)?;
        }
        // Should it fail half-way, what it made is found and removed like that of an agent before this one.
        self.pinned.insert(uid.clone());
        let (capture, captured) = candidate.capture(&mut self.object, tell)?;
        self.holds.entry(cookie).or_insert((netns, 0)).1 += 1;
        capture.enrol(&mut self.maps)?;
        self.captures.insert(uid, capture);
        Ok(Change::Up(Box::new(captured)))
    }

    fn wait(&mut self, uid: &PodUid, error: &CaptureError) {
        let reason: Arc<str> = with_causes(error).into();
        let now = Instant::now();
        let before = self.waiting.get(uid);
        if before.is_none_or(|before| before.reason != reason) {
            match error {
                CaptureError::NoNamespace => tracing::info!(%uid, %reason, "Pod is not captured yet"),
                _ => tracing::warn!(%uid, %reason, "Pod cannot be captured"),
            }
        }
        let waiting = match before {
            Some(before) => before.again(reason, now),
            None => Waiting::new(reason, now),
        };
        self.waiting.insert(uid.clone(), waiting);
    }

    fn adjust(&mut self, uid: &PodUid, terms: Terms) {
        if let Some(capture) = self.captures.get_mut(uid) {
            said(
                "Terms of a pod cannot be changed",
                capture.adjust(terms, &mut self.maps),
            );
        }
    }

    pub(super) fn pinned_cookie(&self, uid: &PodUid) -> Option<Cookie> {
        Some(Cookie(self.pinned_settings(uid)?.cookie()))
    }

    fn pinned_settings(&self, uid: &PodUid) -> Option<PodSettings> {
        let maps = PodMaps::open(&self.pins.pod(uid)).ok().flatten()?;
        maps.settings().ok()
    }

    pub(super) fn publish(&self) {
        let captured = self.captures.iter().map(|(uid, capture)| {
            let status = PodStatus::Captured {
                netns: capture.cookie,
                uncaptured_devices: capture.uncaptured_devices.clone(),
                late: capture.late,
            };
            (uid.clone(), status)
        });
        let waiting = self.waiting.iter().map(|(uid, waiting)| {
            let reason = Arc::clone(&waiting.reason);
            (uid.clone(), PodStatus::Waiting { reason })
        });
        let status = Status {
            generation: self.generation,
            pods: captured.chain(waiting).collect(),
        };
        self.status.send_if_modified(|before| {
            let changed = **before != status;
            if changed {
                *before = Arc::new(status);
            }
            changed
        });
    }
}

/// Whether somebody has captured the pod in this namespace, to the end: the build is written last.
fn is_whole(pinned: &PodSettings, cookie: Cookie) -> bool {
    pinned.cookie() == cookie.0 && pinned.build() != 0
}

fn serves_dns(pod: &Pod) -> bool {
    pod.ports
        .iter()
        .any(|port| port.port == DNS_PORT && port.transport == Transport::Udp)
}

/// Says what failed where the work goes on without it.
pub(super) fn said<E: std::error::Error>(what: &'static str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::warn!(error = %with_causes(&error), "{what}");
    }
}

const DNS_PORT: u16 = 53;

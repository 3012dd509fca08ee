//! What the API is told of this node's pods: found by comparing one mesh, and one status of their capture, with the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    cluster::{
        api::ApiServer,
        events::{Events, Happening, PodEvent},
    },
    kernel::{PodStatus, Status},
    model::{Enrolment, Mesh, NotEnrolled, Pod, PodUid},
};

/// Starts telling, until what it returns is dropped.
pub(super) fn start(
    api: &ApiServer,
    node: &str,
    meshes: watch::Receiver<Arc<Mesh>>,
    statuses: watch::Receiver<Arc<Status>>,
) -> [AbortOnDropHandle<()>; 2] {
    let (events, publish) = Events::start(api, node);
    let tell = tell(events, meshes, statuses);
    [tokio::spawn(publish), tokio::spawn(tell)].map(AbortOnDropHandle::new)
}

/// Tells what is new for as long as there are meshes.
async fn tell(events: Events, mut meshes: watch::Receiver<Arc<Mesh>>, mut statuses: watch::Receiver<Arc<Status>>) {
    let mut last = Seen::default();
    loop {
        let mesh = Arc::clone(&meshes.borrow_and_update());
        let status = Arc::clone(&statuses.borrow_and_update());
        let seen = Seen::of(&mesh, &status, &last);
        for (uid, what) in seen.news(&last) {
            let Some(pod) = mesh.pods.get(uid) else { continue };
            events.tell(PodEvent {
                uid: uid.clone(),
                name: pod.name.clone(),
                what,
            });
        }
        last = seen;
        let changed = tokio::select! {
            changed = meshes.changed() => changed,
            changed = statuses.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What may be told of the pods at one moment.
#[derive(Debug, Default)]
struct Seen {
    /// Running pods, and whether they are in the mesh.
    pods: BTreeMap<PodUid, Membership>,
    /// Those in the mesh which ran before they were.
    late: BTreeSet<PodUid>,
    /// What stays true of a pod until it changes.
    lasting: BTreeSet<(PodUid, Happening)>,
}

/// Whether a pod is in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    In { strict: bool },
    Out,
}

// === impl Seen ===

impl Seen {
    /// What there is to tell at the moment after another one.
    fn of(mesh: &Mesh, status: &Status, last: &Self) -> Self {
        let running = mesh.pods.values().filter(|pod| !pod.ips.is_empty());
        let pods: BTreeMap<_, _> = running
            .map(|pod| (pod.uid.clone(), Membership::of(mesh, pod)))
            .collect();
        let late = pods.iter().filter(|(uid, membership)| {
            let joined = last.pods.get(*uid) == Some(&Membership::Out);
            let uncaptured = matches!(status.pods.get(*uid), Some(PodStatus::Captured { late: true, .. }));
            **membership != Membership::Out && (joined || uncaptured || last.late.contains(*uid))
        });
        let late = late.map(|(uid, _)| uid.clone()).collect();
        let refused = mesh.pods.values().filter_map(|pod| {
            let why = refusal(mesh, pod)?;
            Some((pod.uid.clone(), Happening::Refused(why)))
        });
        let partly = status.pods.iter().filter_map(|(uid, status)| match status {
            PodStatus::Captured { uncaptured_devices, .. } if !uncaptured_devices.is_empty() => {
                let devices = uncaptured_devices.to_vec();
                Some((uid.clone(), Happening::PartlyCaptured { devices }))
            }
            PodStatus::Captured { .. } | PodStatus::Waiting { .. } => None,
        });
        Self {
            pods,
            late,
            lasting: refused.chain(partly).collect(),
        }
    }

    fn news<'a>(&'a self, last: &'a Self) -> impl Iterator<Item = (&'a PodUid, Happening)> {
        let joined = self
            .late
            .difference(&last.late)
            .filter_map(|uid| match self.pods.get(uid)? {
                Membership::In { strict } => Some((uid, Happening::JoinedLate { strict: *strict })),
                Membership::Out => None,
            });
        let lasting = self.lasting.difference(&last.lasting);
        joined.chain(lasting.map(|(uid, what)| (uid, what.clone())))
    }
}

// === impl Membership ===

impl Membership {
    fn of(mesh: &Mesh, pod: &Pod) -> Self {
        if !pod.enrolled() {
            return Self::Out;
        }
        Self::In {
            strict: mesh.is_strict_anywhere(pod),
        }
    }
}

/// Why a pod is out that the labels want in.
fn refusal(mesh: &Mesh, pod: &Pod) -> Option<NotEnrolled> {
    let Enrolment::Out(why) = pod.enrolment else {
        return None;
    };
    match why {
        NotEnrolled::Sandboxed | NotEnrolled::OtherSidecar => Some(why),
        // It is told of every such pod, wanted or not.
        NotEnrolled::HostNetwork => {
            let namespaces = &mesh.policies.enrolled_namespaces;
            namespaces.contains(&pod.name.namespace).then_some(why)
        }
        NotEnrolled::NoLabel | NotEnrolled::OptedOut | NotEnrolled::Ended => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::sample::{mk_mesh, mk_pod},
        net::Cookie,
    };

    fn seen(enrolment: Enrolment, last: &Seen) -> Seen {
        let pod = Pod {
            enrolment,
            ..mk_pod("web", "10.0.0.1")
        };
        Seen::of(&mk_mesh(vec![pod], Vec::new()), &Status::default(), last)
    }

    /// When its pod is captured.
    fn captured(late: bool, last: &Seen) -> Seen {
        let pod = mk_pod("web", "10.0.0.1");
        let captured = PodStatus::Captured {
            netns: Cookie(1),
            uncaptured_devices: Arc::default(),
            late,
        };
        let status = Status {
            generation: 1,
            pods: [(pod.uid.clone(), captured)].into(),
        };
        Seen::of(&mk_mesh(vec![pod], Vec::new()), &status, last)
    }

    fn told(before: &Seen, now: &Seen) -> Vec<Happening> {
        now.news(before).map(|(_, what)| what).collect()
    }

    #[test]
    fn a_pod_that_joins_while_it_runs_is_told_once_and_one_that_is_born_in_the_mesh_is_not() {
        let none = Seen::default();
        let out = seen(Enrolment::Out(NotEnrolled::NoLabel), &none);
        let joined = seen(Enrolment::Enrolled, &out);
        assert_eq!(told(&out, &joined), [Happening::JoinedLate { strict: false }]);
        let captured = captured(true, &joined);
        assert_eq!(told(&joined, &captured), []);
        assert_eq!(told(&none, &seen(Enrolment::Enrolled, &none)), []);
        let left = seen(Enrolment::Out(NotEnrolled::NoLabel), &captured);
        assert_eq!(told(&captured, &left), []);
        let again = seen(Enrolment::Enrolled, &left);
        assert_eq!(told(&left, &again), [Happening::JoinedLate { strict: false }]);
    }

    #[test]
    fn a_pod_whose_containers_ran_before_an_agent_came_is_told_once_and_one_that_was_held_is_not() {
        let born = seen(Enrolment::Enrolled, &Seen::default());
        let late = captured(true, &born);
        assert_eq!(told(&born, &late), [Happening::JoinedLate { strict: false }]);
        assert_eq!(told(&late, &captured(false, &late)), []);
        assert_eq!(told(&born, &captured(false, &born)), []);
    }

    #[test]
    fn only_what_the_labels_want_is_refused() {
        let refused = seen(Enrolment::Out(NotEnrolled::OtherSidecar), &Seen::default());
        let unwanted = seen(Enrolment::Out(NotEnrolled::HostNetwork), &Seen::default());
        assert_eq!(
            told(&Seen::default(), &refused),
            [Happening::Refused(NotEnrolled::OtherSidecar)]
        );
        assert_eq!(told(&refused, &refused), []);
        assert_eq!(told(&Seen::default(), &unwanted), []);
    }
}

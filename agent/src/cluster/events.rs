//! What an agent tells of its pods in the API, as Events beside them: `kubectl describe pod` shows them.
//!
//! Nothing waits for an Event: where the server is slow or refuses, they are lost, and the log has them all the same.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::api::ApiServer;
use crate::{
    model::{NotEnrolled, ObjectName, PodUid},
    telemetry::with_causes,
};

/// Takes what is to be told.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<PodEvent>);

/// Something that happened to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The pod.
    pub uid: PodUid,
    /// Its name.
    pub name: ObjectName,
    /// What happened.
    pub what: Happening,
}

/// What happens to a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// It joined the mesh while it ran: its earlier connections know nothing of it.
    JoinedLate {
        /// Whether it wants mutual TLS of all, so that these were cut.
        strict: bool,
    },
    /// Some of its network devices are not captured.
    PartlyCaptured {
        /// Their names.
        devices: Vec<String>,
    },
    /// The labels want it in the mesh, and it cannot be.
    Refused(NotEnrolled),
}

// === impl Events ===

impl Events {
    /// Starts telling; the future does it, until nobody tells any more.
    pub fn start(api: &ApiServer, node: &str) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(node.to_owned()),
        };
        let recorder = Recorder::new(api.client.clone(), reporter);
        (Self(sender), publish(recorder, receiver))
    }

    /// Tells it as soon as may be; too many at once are lost.
    pub fn tell(&self, event: PodEvent) {
        if let Err(error) = self.0.try_send(event) {
            tracing::debug!(%error, "An Event is lost");
        }
    }
}

// === impl Happening ===

impl Happening {
    fn event(&self) -> Event {
        let (type_, reason, note) = match self {
            Self::JoinedLate { strict: false } => (
                EventType::Normal,
                "JoinedMeshLate",
                "The pod joined the mesh while it ran: connections that it had before go on outside the mesh until they end"
                    .to_owned(),
            ),
            Self::JoinedLate { strict: true } => (
                EventType::Warning,
                "JoinedMeshLate",
                "The pod joined the mesh while it ran, and mutual TLS is required: connections that it had before were cut"
                    .to_owned(),
            ),
            Self::PartlyCaptured { devices } => (
                EventType::Warning,
                "PartlyCaptured",
                format!("What the pod sends by {} is outside the mesh", devices.join(", ")),
            ),
            Self::Refused(why) => (
                EventType::Warning,
                "NotEnrolled",
                format!("The pod is not in the mesh although its labels say so: {}", explain(*why)),
            ),
        };
        Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Enrol".to_owned(),
            secondary: None,
        }
    }
}

fn explain(why: NotEnrolled) -> &'static str {
    match why {
        NotEnrolled::NoLabel => "no label says so any more",
        NotEnrolled::OptedOut => "it opted out",
        NotEnrolled::HostNetwork => "it shares its node's network",
        NotEnrolled::Sandboxed => "its runtime has a kernel of its own",
        NotEnrolled::OtherSidecar => "it has another mesh's sidecar",
        NotEnrolled::Ended => "it has ended",
    }
}

async fn publish(recorder: Recorder, mut events: mpsc::Receiver<PodEvent>) {
    let mut told = None;
    while let Some(PodEvent { uid, name, what }) = events.recv().await {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(name.namespace.to_string()),
            name: Some(name.name.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        };
        let failed = match timeout(PATIENCE, recorder.publish(&what.event(), &pod)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_causes(&error)),
            Err(_elapsed) => Some("no answer".to_owned()),
        };
        if let Some(error) = &failed
            && failed != told
        {
            tracing::warn!(%error, pod = %name, "An Event cannot be written");
        }
        told = failed;
        sleep(PAUSE).await;
    }
}

/// Who reports, as Events name it.
const CONTROLLER: &str = "mesh.weft.dev/agent";

/// How many Events may wait: as many as a node has pods.
const WAITING: usize = 256;

/// The pause after each: a namespace that joins is hundreds of Events on hundreds of nodes.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fits_what_the_api_takes() {
        for what in [
            Happening::JoinedLate { strict: true },
            Happening::JoinedLate { strict: false },
            Happening::PartlyCaptured {
                devices: vec!["net1".to_owned(), "net2".to_owned()],
            },
            Happening::Refused(NotEnrolled::OtherSidecar),
        ] {
            let event = what.event();
            assert!(event.reason.len() <= 128 && event.note.is_some_and(|note| note.len() < 1024));
        }
    }
}

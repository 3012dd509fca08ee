//! What is told of an open connection while it lives, and at its end.

use super::{Identities, Judgement, Live};
use crate::{
    model::{Identity, ObjectName},
    telemetry::{LiveConnection, LiveRequest, Peer, Proof, Report},
};

// === impl Live ===

impl Live {
    pub(super) fn show(&self) -> LiveConnection {
        let destination = self.destination.borrow();
        let identities = self.identities.borrow();
        let shown = |name: Option<&ObjectName>| name.map(ObjectName::to_string);
        LiveConnection {
            id: self.id,
            direction: self.direction.get(),
            phase: self.phase(),
            source: self.source,
            source_pod: shown(self.source_pod.borrow().as_ref()),
            original_destination: self.original_destination,
            service: shown(self.service.get()),
            destination: destination.as_ref().map(|peer| peer.address),
            destination_pod: shown(destination.as_ref().and_then(|peer| peer.pod.as_ref())),
            security: self.security.get(),
            source_identity: identities.source.as_ref().map(Identity::to_string),
            destination_identity: identities.destination.as_ref().map(Identity::to_string),
            policy: self.judgement.borrow().policy.as_ref().map(|policy| policy.to_string()),
            age_ms: u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_sent: self.sent.get(),
            bytes_received: self.received.get(),
            request: self.request.borrow().as_deref().map(LiveRequest::of),
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            direction: self.direction.get(),
            source: Peer {
                address: self.source,
                pod: self.source_pod.borrow().clone(),
            },
            original_destination: self.original_destination,
            service: self.service.get().cloned(),
            rule: self.rule.borrow().clone(),
            destination: self.destination.borrow().clone(),
            opened: self.opened,
            connect_time: self.connect_time.get(),
            duration: self.accepted.elapsed(),
            bytes_sent: self.sent.get(),
            bytes_received: self.received.get(),
            denied: self.denied.get(),
            proof: self.proof(),
            request: self.request.take(),
        }
    }

    fn proof(&self) -> Proof {
        let Identities { source, destination } = self.identities.take();
        let Judgement {
            denied: _,
            generation,
            policy,
            audited,
        } = self.judgement.take();
        Proof {
            security: self.security.get(),
            source_identity: source,
            destination_identity: destination,
            mesh_generation: generation,
            policy,
            audited,
        }
    }
}

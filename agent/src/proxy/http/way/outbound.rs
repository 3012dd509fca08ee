//! Requests of a pod of this node.

use std::{cell::OnceCell, net::SocketAddr, rc::Rc};

use http::{HeaderMap, HeaderValue};

use crate::{
    model::{Destination, Mesh, ObjectName},
    proxy::{
        authorise::{self, Ground},
        connect::{self, Leased, Through, Upstream},
        detect::Protocol,
        dial::{Line as Dialled, Remote},
        http::{
            exchange::Exchange,
            forwarded, hop,
            leg::{Leg, LegKey, Line},
            told,
            wire::Wire,
        },
        identify,
        outbound::{Outgoing, header},
        route::{Route, route},
    },
    telemetry::{Denied, Security},
};

/// The way of a pod's requests to endpoints.
#[derive(Debug, Default)]
pub(in crate::proxy::http) struct Outbound {
    /// What the agents of endpoints are told of the pod, by the service that its connection went to.
    told: OnceCell<Option<HeaderValue>>,
}

// === impl Outbound ===

impl Outbound {
    pub(super) fn route(
        &self,
        headers: &mut HeaderMap,
        protocol: Protocol,
        exchange: &Exchange,
    ) -> Result<Route, Denied> {
        let conversation = &exchange.conversation;
        let shared = &conversation.lane.shared;
        let mesh = shared.mesh();
        hop::strip_own(headers);
        let identified = identify::outbound(&conversation.arrival, &mesh).map_err(
            |(denied, crate::model::Unresolved::NoSuchPort(service))| {
                exchange.asked_for(&service.name);
                denied
            },
        )?;
        exchange.opened_by(&identified.source, &mesh);
        if let Some(service) = service(&identified.wanted) {
            exchange.asked_for(service);
        }
        let permit = authorise::egress(identified, exchange, shared)?;
        Ok(route(&permit, protocol))
    }

    /// `serving` is the service of which it is an endpoint: a backend's, where routes have chosen one.
    pub(super) async fn leg(
        &self,
        address: SocketAddr,
        serving: Option<&ObjectName>,
        headers: &mut HeaderMap,
        exchange: &Rc<Exchange>,
    ) -> Result<Leg, Denied> {
        let conversation = &exchange.conversation;
        let (arrival, lane) = (&conversation.arrival, &conversation.lane);
        // What another endpoint's agent was told.
        hop::strip_own(headers);
        let mesh = lane.shared.mesh();
        let identified = identify::outbound(arrival, &mesh).map_err(|(denied, _)| denied)?;
        let asked_for = service(&identified.wanted).cloned();
        let permit = authorise::egress(identified, exchange, &lane.shared)?;
        let outgoing = Outgoing {
            arrival,
            service: asked_for.clone(),
            permit,
            mesh: mesh.clone(),
            live: exchange,
            lane,
        };
        let through = match outgoing.through(address, serving).await? {
            Through::Lease(door) => match connect::leased(arrival, &door, address, lane).await? {
                Leased::Pass => Through::Lease(door),
                Leased::HasLeft => Through::Network(Remote::new(address, None, &mesh, lane)),
            },
            through @ (Through::Network(_) | Through::App(_)) => through,
        };
        let expected = match &through {
            Through::Network(remote) => Some(&remote.expected),
            Through::Lease(_) | Through::App(_) => None,
        };
        let open = async |key| dial(key, &through, exchange).await;
        let leg = conversation.leg(conversation.key(address), expected, open).await?;
        forwarded::set_client(headers, prove(&leg, &through, &mesh, exchange));
        if let Some(peer) = &leg.line.peer {
            let told = self
                .told
                .get_or_init(|| told::tell(&header(arrival, asked_for.as_ref())));
            if let Some(value) = told {
                told::say(headers, value, &leg);
            }
            let ground = Ground::Egress { peer: peer.clone() };
            exchange.stand_on(ground, &lane.shared)?;
        }
        Ok(leg)
    }
}

async fn dial(key: LegKey, through: &Through, exchange: &Exchange) -> Result<Leg, Denied> {
    let conversation = &exchange.conversation;
    let (lane, version) = (&conversation.lane, conversation.version);
    let protocol = version.between_agents();
    let Upstream { line, ports, .. } =
        connect::connect(key.address, &conversation.arrival, through, protocol, lane).await?;
    let (wire, peer) = match line {
        Dialled::Plaintext(stream) => (Wire::plain(stream, Vec::new()), None),
        Dialled::Requests(secured) => {
            let peer = secured.established.peer.clone();
            (Wire::secured(*secured), Some(peer))
        }
        // Only streams of bytes are carried.
        Dialled::Mesh { .. } => return Err(Denied::AgentError),
    };
    let line = Line::new(lane.next_id(), peer, ports);
    Leg::open(key, wire, version, line).await
}

/// Notes who serves, as far as it is proved, and says what an application of this node is told of who asks.
fn prove(leg: &Leg, through: &Through, mesh: &Mesh, exchange: &Exchange) -> Option<HeaderValue> {
    match (through, &leg.line.peer) {
        (Through::Lease(door), None) => {
            exchange.ends_here(door);
            let destination = identify::identity_of(door, mesh);
            let conversation = &exchange.conversation;
            let own = conversation.arrival.door();
            // On one node none is needed: a pod may have none yet.
            let credentials = conversation.lane.shared.identities.of(&own.pod.uid);
            let certificate = credentials.map(|credentials| credentials.fingerprint());
            let client = forwarded::client(&identify::identity_of(own, mesh), certificate, &destination);
            exchange.secured(Security::SameNode, Some(destination));
            client
        }
        (Through::Lease(_) | Through::Network(_) | Through::App(_), Some(peer)) => {
            exchange.secured(Security::MutualTls, Some(peer.identity.clone()));
            None
        }
        (Through::Network(_) | Through::App(_), None) => {
            exchange.secured(Security::Plaintext, None);
            None
        }
    }
}

fn service(wanted: &Destination) -> Option<&ObjectName> {
    match wanted {
        Destination::Service { service, .. } => Some(&service.name),
        Destination::Pod(_) | Destination::Unknown => None,
    }
}

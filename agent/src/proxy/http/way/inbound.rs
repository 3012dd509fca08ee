//! Requests to a pod of this node.

use std::{net::SocketAddr, rc::Rc};

use http::HeaderMap;

use crate::{
    proxy::{
        authorise,
        connect::{self, Through, Upstream},
        detect::Protocol,
        dial::Line as Dialled,
        http::{
            exchange::Exchange,
            forwarded, hop,
            leg::{Leg, Line},
            told::{Heard, Told},
            wire::Wire,
        },
        identify,
        route::{Route, route},
    },
    telemetry::{Denied, Security},
    tls::Peer,
};

/// The way of requests to a pod of this node.
#[derive(Debug)]
pub(in crate::proxy::http) enum Inbound {
    /// Another agent's, for pods of its node.
    Agent { peer: Box<Peer>, heard: Heard },
    /// A pod's whose agent took its requests for a stream of bytes: of each of them it says nothing.
    Stream(Told),
    /// Whoever's: the connection was authorised as a whole.
    Plaintext,
}

// === impl Inbound ===

impl Inbound {
    /// Whether another agent asks.
    pub(in crate::proxy::http) fn is_agent(&self) -> bool {
        match self {
            Self::Agent { .. } => true,
            Self::Stream(_) | Self::Plaintext => false,
        }
    }

    pub(super) fn route(
        &self,
        headers: &mut HeaderMap,
        protocol: Protocol,
        exchange: &Exchange,
    ) -> Result<Route, Denied> {
        let conversation = &exchange.conversation;
        let (arrival, shared) = (&conversation.arrival, &conversation.lane.shared);
        let mesh = shared.mesh();
        let told = match self {
            Self::Agent { peer, heard } => Some(heard.hear(headers, peer, arrival.client)?),
            Self::Stream(told) => Some(told.clone()),
            Self::Plaintext => None,
        };
        let (identified, client) = match told {
            Some(Told { client, service }) => {
                exchange.secured(Security::MutualTls, None);
                if let Some(service) = &service {
                    exchange.asked_for(service);
                }
                let own = identify::identity_of(arrival.door(), &mesh);
                let Peer {
                    identity, fingerprint, ..
                } = &client.peer;
                let certificate = forwarded::client(identity, Some(*fingerprint), &own);
                (identify::told(arrival, client), certificate)
            }
            None => {
                exchange.secured(Security::Plaintext, None);
                (identify::plaintext(arrival), None)
            }
        };
        hop::strip_own(headers);
        forwarded::set_client(headers, client);
        exchange.opened_by(&identified.source, &mesh);
        let permit = authorise::ingress(identified, exchange, shared)?;
        Ok(route(&permit, protocol))
    }

    pub(super) async fn leg(
        &self,
        address: SocketAddr,
        _headers: &mut HeaderMap,
        exchange: &Rc<Exchange>,
    ) -> Result<Leg, Denied> {
        let conversation = &exchange.conversation;
        let lane = &conversation.lane;
        let open = async |key| {
            let arrival = &conversation.arrival;
            let through = Through::App(arrival.door().clone());
            let version = conversation.version;
            let Upstream { line, ports, .. } =
                connect::connect(address, arrival, &through, version.between_agents(), lane).await?;
            match line {
                Dialled::Plaintext(stream) => {
                    let line = Line::new(lane.next_id(), None, ports);
                    Leg::open(key, Wire::plain(stream, Vec::new()), version, line).await
                }
                // An application is reached inside its own namespace.
                Dialled::Mesh { .. } | Dialled::Requests(_) => Err(Denied::AgentError),
            }
        };
        conversation.leg(conversation.key(address), None, open).await
    }
}

//! Which way requests pass the agent: from a pod of this node to an endpoint, or from elsewhere to a pod of this node.

mod inbound;
mod outbound;

use std::{net::SocketAddr, rc::Rc};

use http::{HeaderMap, header::ALT_SVC};

pub(super) use self::{inbound::Inbound, outbound::Outbound};
use super::{exchange::Exchange, leg::Leg};
use crate::{
    proxy::{detect::Protocol, route::Route},
    telemetry::Denied,
};

/// Which way requests pass the agent.
#[derive(Debug)]
pub(super) enum Way {
    /// From a pod of this node.
    Outbound(Outbound),
    /// To a pod of this node, of another node or of who is not in the mesh.
    Inbound(Inbound),
}

// === impl Way ===

impl Way {
    /// Identifies and authorises a request, and finds where it may go. What agents say among themselves leaves `headers`.
    pub(super) fn route(
        &self,
        headers: &mut HeaderMap,
        protocol: Protocol,
        exchange: &Exchange,
    ) -> Result<Route, Denied> {
        match self {
            Self::Outbound(outbound) => outbound.route(headers, protocol, exchange),
            Self::Inbound(inbound) => inbound.route(headers, protocol, exchange),
        }
    }

    /// Takes away of a response what would lead its client past the agent: offers of HTTP/3.
    pub(super) fn clean(&self, headers: &mut HeaderMap) {
        match self {
            Self::Outbound(_) => drop(headers.remove(ALT_SVC)),
            Self::Inbound(_) => {}
        }
    }

    /// Authorises the way to the endpoint that was picked, and takes a leg to it: one that waits, or a new one.
    pub(super) async fn leg(
        &self,
        address: SocketAddr,
        route: &Route,
        headers: &mut HeaderMap,
        exchange: &Rc<Exchange>,
    ) -> Result<Leg, Denied> {
        match self {
            Self::Outbound(outbound) => outbound.leg(address, route.service(), headers, exchange).await,
            Self::Inbound(inbound) => inbound.leg(address, headers, exchange).await,
        }
    }
}

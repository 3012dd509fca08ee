//! Which endpoint a request goes to, and on which leg.

use std::{net::SocketAddr, pin::pin, rc::Rc};

use http::HeaderMap;

use super::{exchange::Exchange, leg::Leg};
use crate::{
    proxy::{
        balance,
        outbound::{RETRIES, elsewhere},
        route::Route,
    },
    telemetry::{Denied, Peer},
};

/// Picks an endpoint and takes a leg to it, or to another one where that might do better. It is none that was `tried`,
/// where there is another; those that are tried in vain are added. It is the `first` one where that was not tried.
pub(super) async fn find(
    route: &Route,
    first: Option<SocketAddr>,
    tried: &mut Vec<SocketAddr>,
    headers: &mut HeaderMap,
    exchange: &Rc<Exchange>,
) -> Result<Leg, Denied> {
    let conversation = &exchange.conversation;
    let (arrival, loads) = (&conversation.arrival, &conversation.lane.shared.loads);
    let mut pinned = conversation
        .pinned_address()
        .or(first)
        .filter(|address| !tried.contains(address));
    let (mut failure, mut failures) = (None, 0);
    loop {
        let picked = match pinned.take() {
            Some(address) => balance::pick(&Route::Exactly(address), arrival, &[], loads),
            None => balance::pick(route, arrival, tried, loads),
        };
        let picked = match (picked, failure) {
            (Ok(picked), _) => picked,
            // After a failure nobody else being left is no news; the failure is.
            (Err(_), Some(failure)) => return Err(failure),
            (Err(none), None) if tried.is_empty() => return Err(none),
            (Err(_), None) => {
                tried.clear();
                continue;
            }
        };
        let address = picked.address;
        exchange.picked(peer(address, exchange));
        exchange.goes_to(picked);
        let reaching = pin!(conversation.way.leg(address, route, headers, exchange));
        match exchange.unless_cut(reaching).await {
            Ok(leg) => return Ok(leg),
            Err(denied) => {
                tried.push(address);
                if failures == RETRIES || !elsewhere(denied) {
                    return Err(denied);
                }
                exchange.leave_endpoint();
                (failure, failures) = (Some(denied), failures + 1);
            }
        }
    }
}

fn peer(address: SocketAddr, exchange: &Exchange) -> Peer {
    let lane = &exchange.conversation.lane;
    let mesh = lane.shared.mesh.borrow();
    let endpoint = mesh.endpoint_at(address);
    Peer {
        address,
        pod: endpoint.and_then(|it| it.pod.as_ref()).map(|(_, name)| name.clone()),
    }
}

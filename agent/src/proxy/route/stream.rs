//! Where routes send a connection of which only bytes are seen.

use tokio::net::TcpStream;

use super::{Route, draw};
use crate::{
    model::{Mesh, RouteKind, StreamChoice},
    proxy::{captured::Arrival, detect, live::Live},
    telemetry::Denied,
};

/// Where a TCPRoute or a TLSRoute sends a connection that would go this way; none where none decides.
///
/// Only for a TLSRoute is the client listened to: with TLS it speaks first. The backend is drawn once: what a route says later is for later connections.
pub(in crate::proxy) async fn ruled(
    own: &Route,
    client: &TcpStream,
    arrival: &Arrival,
    mesh: &Mesh,
    live: &Live,
) -> Result<Option<Route>, Denied> {
    let Route::OneOf { service, port, .. } = own else {
        return Ok(None);
    };
    let Some(routes) = mesh.routes(service, *port, &arrival.door().pod.name.namespace) else {
        return Ok(None);
    };
    let server = match routes.kind() {
        RouteKind::GrpcRoute | RouteKind::HttpRoute => return Ok(None),
        RouteKind::TlsRoute => detect::server_name(client).await,
        RouteKind::TcpRoute => None,
    };
    match routes.choose_stream(server.as_deref()) {
        StreamChoice::Unconcerned => Ok(None),
        StreamChoice::Refused => Err(Denied::NoRoute),
        StreamChoice::Rule { rule, name: _ } => {
            live.ruled(rule);
            let backend = draw(rule);
            Route::of_backend(backend, rule, arrival.destination.0, mesh).map(Some)
        }
    }
}

//! The server's side: a client's connection, from which requests are read and responses written.

use std::rc::Rc;

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    conversation::Conversation,
    forward,
    told::Heard,
    way::{Inbound, Outbound, Way},
    wire::Wire,
};
use crate::{
    proxy::{captured::Arrival, detect::HttpVersion, dial::Secured, lane::Lane, live::Tracked, stream::ResetOnDrop},
    telemetry::Denied,
};

/// A client that speaks HTTP.
#[derive(Debug)]
pub(in crate::proxy) struct Client {
    stream: ResetOnDrop,
    /// What was read of it already.
    early: Vec<u8>,
    version: HttpVersion,
}

/// Serves the requests of a pod of this node.
pub(in crate::proxy) async fn serve_outbound(client: Box<Client>, arrival: Arrival, tracked: Tracked, lane: Rc<Lane>) {
    serve(*client, Way::Outbound(Outbound::default()), arrival, tracked, lane).await;
}

/// Serves the requests to a pod of this node that come from who is not in the mesh.
pub(in crate::proxy) async fn serve_plaintext(client: Box<Client>, arrival: Arrival, tracked: Tracked, lane: Rc<Lane>) {
    serve(*client, Way::Inbound(Inbound::Plaintext), arrival, tracked, lane).await;
}

/// Serves the requests that come from another agent. Of a connection between agents only its requests are told.
pub(in crate::proxy) async fn serve_agent(secured: Secured, arrival: Arrival, tracked: Tracked, lane: Rc<Lane>) {
    tracked.forget();
    let way = Way::Inbound(Inbound::Agent {
        peer: Box::new(secured.established.peer.clone()),
        heard: Heard::default(),
    });
    let conversation = Conversation::new(way, arrival, None, lane);
    // Whatever ends it, nobody waits for more.
    let _ = serve_http1(Wire::secured(secured), &conversation).await;
}

async fn serve(client: Client, way: Way, arrival: Arrival, tracked: Tracked, lane: Rc<Lane>) {
    let Client { stream, early, version } = client;
    let conversation = Conversation::new(way, arrival, Some(tracked), lane);
    let Some(tracked) = conversation.tracked() else { return };
    tracked.connected();
    let serving = Box::pin(async {
        match version {
            HttpVersion::One => serve_http1(Wire::plain(stream, early), &conversation).await,
            HttpVersion::Two => Err(Denied::BadRequest),
        }
    });
    if let Err(denied) = tracked.unless_cut(serving).await {
        tracked.deny(denied);
    }
}

/// Serves HTTP/1 until the connection is over.
async fn serve_http1(wire: Wire, conversation: &Rc<Conversation>) -> Result<(), Denied> {
    let service = service_fn(|request| forward::serve(conversation.clone(), request));
    let mut connection = http1::Builder::new()
        .preserve_header_case(true)
        .half_close(true)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(wire.overheard(conversation.heads.clone())), service)
        .with_upgrades();
    let served = (&mut connection).await;
    if let Some(parts) = connection.into_parts() {
        // Apart from all limits: it is over but for the last words.
        parts.io.into_inner().farewell().await;
    }
    served.map_err(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "A client's connection ends");
        denied(&error)
    })
}

/// Why a connection ended that did not end well.
fn denied(error: &hyper::Error) -> Denied {
    if error.is_parse() || error.is_parse_too_large() {
        Denied::BadRequest
    } else if error.is_timeout() {
        Denied::RequestTimeout
    } else {
        // It broke off, or what it was sent did.
        Denied::ClientGone
    }
}

// === impl Client ===

impl Client {
    /// Boxed: a connection that carries bytes keeps no room for one that does not.
    pub(in crate::proxy) fn boxed(stream: ResetOnDrop, early: Vec<u8>, version: HttpVersion) -> Box<Self> {
        Box::new(Self { stream, early, version })
    }
}

/// How long a request's head may be.
const LONGEST_HEAD: usize = 64 * 1024;

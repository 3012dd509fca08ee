//! The server's side: a client's connection, from which requests are read and responses written.

use std::{rc::Rc, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{
    answer,
    conversation::Conversation,
    forward,
    pace::Stall,
    pipe::{self, Pipe},
    told::{self, Told},
    way::{Inbound, Outbound, Way},
    wire::Wire,
};
use crate::{
    model::ObjectName,
    proxy::{
        captured::Arrival, carrier::Carrier, copy::Heard, detect::HttpVersion, dial::Secured, identify::RemotePod,
        lane::Lane, live::Tracked, stream::ResetOnDrop,
    },
    telemetry::Denied,
};

/// A client that speaks HTTP.
#[derive(Debug)]
pub(in crate::proxy) struct Client {
    wire: Wire,
    version: HttpVersion,
}

/// A stream between agents that carries requests, though the client's agent took it for bytes.
#[derive(Debug)]
pub(in crate::proxy) struct RequestStream {
    pub(in crate::proxy) carrier: Box<Carrier>,
    /// What was read of it already.
    pub(in crate::proxy) early: Vec<u8>,
    pub(in crate::proxy) heard: Heard,
    pub(in crate::proxy) version: HttpVersion,
    /// Who asks, as the client's agent has told, and for which service.
    pub(in crate::proxy) client: Arc<RemotePod>,
    pub(in crate::proxy) service: Option<ObjectName>,
}

/// Why a client's connection is over before all was said.
#[derive(Debug)]
enum Ended {
    Failed(hyper::Error),
    /// The client does not go on.
    Stalled(Stall),
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
        heard: told::Heard::default(),
    });
    let conversation = Conversation::new(way, arrival, None, lane);
    // Whatever ends it, nobody waits for more.
    let _ = serve_http1(Wire::secured(secured), &conversation).await;
}

/// Serves the requests of a stream, the last of its connection between agents.
pub(in crate::proxy) async fn serve_stream(
    stream: Box<RequestStream>,
    arrival: Arrival,
    tracked: Tracked,
    lane: Rc<Lane>,
) {
    let RequestStream {
        carrier,
        early,
        heard,
        version,
        client,
        service,
    } = *stream;
    let (pipe, far) = Pipe::new();
    let way = Way::Inbound(Inbound::Stream(Told { client, service }));
    let wire = Wire::piped(pipe);
    let serving = serve(Client { wire, version }, way, arrival, tracked, lane.clone());
    tokio::join!(serving, pipe::carry(carrier, far, early, heard, &lane));
}

async fn serve(client: Client, way: Way, arrival: Arrival, tracked: Tracked, lane: Rc<Lane>) {
    let Client { wire, version } = client;
    let conversation = Conversation::new(way, arrival, Some(tracked), lane);
    let Some(tracked) = conversation.tracked() else { return };
    tracked.connected();
    let serving = Box::pin(async {
        match version {
            HttpVersion::One => serve_http1(wire, &conversation).await,
            HttpVersion::Two => Err(Denied::BadRequest),
        }
    });
    if let Err(denied) = tracked.unless_cut(serving).await {
        tracked.deny(denied);
    }
}

/// Serves HTTP/1 until the connection is over.
async fn serve_http1(wire: Wire, conversation: &Rc<Conversation>) -> Result<(), Denied> {
    let wire = wire
        .overheard(conversation.heads.clone())
        .felt(conversation.pace.pulse.clone());
    let service = service_fn(|request| forward::serve(conversation.clone(), request));
    let mut connection = http1::Builder::new()
        .preserve_header_case(true)
        .half_close(true)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let served = tokio::select! {
        biased;
        served = &mut connection => served.map_err(Ended::Failed),
        stall = conversation.pace.stalled() => Err(Ended::Stalled(stall)),
    };
    if let Err(Ended::Stalled(Stall::Reading)) = served {
        // Nothing more can be said to it.
        conversation.cut(Denied::RequestTimeout);
        return Err(Denied::RequestTimeout);
    }
    if let Some(parts) = connection.into_parts() {
        let words = match served {
            Err(Ended::Stalled(Stall::Head)) => answer::head_timeout(),
            Ok(()) | Err(Ended::Stalled(_) | Ended::Failed(_)) => String::new(),
        };
        // Apart from all limits: it is over but for the last words.
        parts.io.into_inner().farewell(&words).await;
    }
    match served {
        Ok(()) | Err(Ended::Stalled(Stall::Idle)) => Ok(()),
        Err(Ended::Stalled(_)) => Err(Denied::RequestTimeout),
        Err(Ended::Failed(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "A client's connection ends");
            Err(denied(&error))
        }
    }
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
        Box::new(Self {
            wire: Wire::plain(stream, early),
            version,
        })
    }
}

/// How long a request's head may be.
const LONGEST_HEAD: usize = 64 * 1024;

//! The server's side: a client's connection, from which requests are read and responses written.

use std::{pin::pin, rc::Rc, sync::Arc};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use super::{
    answer,
    conversation::Conversation,
    failure, forward,
    limits::{CONNECTION_WINDOW, LONGEST_HEAD, MOST_RESETS, MOST_STREAMS, SEND_BUFFER, STREAM_WINDOW},
    pace::Stall,
    pipe::{self, Pipe},
    tasks::{Responses, Tasks},
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
pub(in crate::proxy) async fn serve_agent(
    secured: Secured,
    version: HttpVersion,
    arrival: Arrival,
    tracked: Tracked,
    lane: Rc<Lane>,
) {
    let way = Way::Inbound(Inbound::Agent {
        peer: Box::new(secured.established.peer.clone()),
        heard: told::Heard::default(),
    });
    let conversation = Conversation::new(way, version, arrival, None, lane);
    conversation.is_unasked(tracked);
    let serving = pin!(serve_requests(Wire::secured(secured), &conversation));
    tokio::select! {
        biased;
        // Whatever ends it, nobody waits for more.
        _ = serving => {}
        () = conversation.cut_unasked() => {}
    }
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
    let conversation = Conversation::new(way, version, arrival, Some(tracked), lane);
    let Some(tracked) = conversation.tracked() else { return };
    tracked.connected();
    let serving = Box::pin(serve_requests(wire, &conversation));
    if let Err(denied) = tracked.unless_cut(serving).await {
        tracked.deny(denied);
    }
}

async fn serve_requests(wire: Wire, conversation: &Rc<Conversation>) -> Result<(), Denied> {
    match conversation.version {
        HttpVersion::One => serve_http1(wire, conversation).await,
        HttpVersion::Two => serve_http2(wire, conversation).await,
    }
}

/// Serves HTTP/2 until the connection is over. A client is told by GOAWAY that no more requests are wanted, or that
/// it has asked for nothing for long; those that it has begun are served.
async fn serve_http2(wire: Wire, conversation: &Rc<Conversation>) -> Result<(), Denied> {
    let pace = &conversation.pace;
    let wire = wire.framed(pace.frames.clone()).felt(pace.pulse.clone());
    let service = service_fn(|request| forward::serve(conversation.clone(), request));
    let tasks = Tasks::default();
    // Requests end with their connection.
    let _cut = tasks.guard();
    let serving = http2::Builder::new(Responses(tasks))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_connect_protocol()
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(LONGEST_HEAD)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(MOST_RESETS)
        .serve_connection(TokioIo::new(wire), service);
    let mut serving = pin!(serving);
    let mut served = tokio::select! {
        biased;
        served = serving.as_mut() => Some(served.map_err(Ended::Failed)),
        () = conversation.closing() => None,
        stall = pace.stalled() => Some(Err(Ended::Stalled(stall))),
    };
    if let None | Some(Err(Ended::Stalled(Stall::Idle))) = served {
        serving.as_mut().graceful_shutdown();
        pace.parts();
        served = tokio::select! {
            biased;
            served = serving.as_mut() => Some(served.map_err(Ended::Failed)),
            stall = pace.stalled() => Some(Err(Ended::Stalled(stall))),
        };
    }
    match served {
        // A client that does not go is left.
        None | Some(Ok(()) | Err(Ended::Stalled(Stall::Idle))) => Ok(()),
        Some(Err(Ended::Stalled(_))) => {
            conversation.cut(Denied::RequestTimeout);
            Err(Denied::RequestTimeout)
        }
        Some(Err(Ended::Failed(error))) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "A client's connection ends");
            Err(failure::of_client(HttpVersion::Two, &error))
        }
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
        .max_header_size(LONGEST_HEAD as usize)
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    let served = tokio::select! {
        biased;
        served = &mut connection => served.map_err(Ended::Failed),
        stall = conversation.pace.stalled() => Err(Ended::Stalled(stall)),
    };
    let cut = match served {
        Err(Ended::Stalled(Stall::Reading)) => Some(Denied::RequestTimeout),
        Err(Ended::Stalled(Stall::Late)) => Some(Denied::UpstreamTimeout),
        Ok(()) | Err(Ended::Stalled(Stall::Head | Stall::Body | Stall::Idle) | Ended::Failed(_)) => None,
    };
    if let Some(denied) = cut {
        // Nothing more can be said to it.
        conversation.cut(denied);
        return Err(denied);
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
            Err(failure::of_client(HttpVersion::One, &error))
        }
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

//! A connection to an upstream: of HTTP/1, on which one request follows the other, or of HTTP/2, on which many go at once.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use http::{
    HeaderValue, Request, Response, Uri, Version,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::TokioIo;
use tokio::{sync::SetOnce, task::spawn_local};

use super::{
    body::RequestBody,
    limits::{CONNECTION_WINDOW, LONGEST_HEAD, MOST_STREAMS, SEND_BUFFER, STREAM_WINDOW},
    tasks::Tasks,
    upgrade::{as_connect, as_switched},
    wire::Wire,
};
use crate::{
    model::PodUid,
    proxy::{connect::LegPorts, detect::HttpVersion, live::Live},
    telemetry::{ConnectionId, Denied},
    tls::Peer,
};

/// Who may use a leg: requests of one client's address that one pod's listeners took, to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LegKey {
    pub(super) pod: PodUid,
    pub(super) side: Side,
    pub(super) client: IpAddr,
    pub(super) address: SocketAddr,
}

/// Which of the pod's listeners took the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Outbound,
    Inbound,
}

/// A connection to an upstream as one request uses it, which of HTTP/1 has it for itself.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) key: LegKey,
    pub(super) line: Rc<Line>,
    sender: Sender,
    /// Counts it among the requests of a connection that others use too.
    stream: Option<Stream>,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<RequestBody>),
    Two(http2::SendRequest<RequestBody>),
}

/// A request on a connection that others use too.
#[derive(Debug)]
struct Stream(Rc<Line>);

/// What a leg's requests and the task that carries its bytes share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: ConnectionId,
    /// The agent at the other end; none where it is an application.
    pub(super) peer: Option<Peer>,
    pub(super) opened: Instant,
    /// What the agent at the other end was told last of who asks.
    pub(super) told: RefCell<Option<HeaderValue>>,
    /// When its last request was over.
    used: Cell<Instant>,
    /// How many requests of HTTP/2 it carries.
    streams: Cell<usize>,
    /// How many the other end lets it carry.
    most_streams: Cell<usize>,
    /// Whether the other end of HTTP/2 takes requests for other protocols (RFC 8441, 3), from its first settings on.
    switches: SetOnce<bool>,
    /// The request of HTTP/1 that it carries.
    serves: RefCell<Option<Rc<Live>>>,
    /// Whether it is to be reset.
    broken: Cell<bool>,
    task: RefCell<Option<Waker>>,
    _ports: LegPorts,
}

/// What did not become of a request.
pub(super) enum NotSent {
    /// Nothing of it has left.
    Whole(Box<Request<RequestBody>>),
    /// Some of it may have.
    Broken(hyper::Error),
    /// Nothing of it has left, for the upstream takes no such request.
    Unwanted,
}

// === impl Leg ===

impl Leg {
    /// Begins to speak HTTP on a new connection.
    pub(super) async fn open(key: LegKey, wire: Wire, version: HttpVersion, line: Line) -> Result<Self, Denied> {
        let line = Rc::new(line);
        let (sender, stream) = match version {
            HttpVersion::One => {
                let opened = http1::Builder::new()
                    .preserve_header_case(true)
                    .handshake(TokioIo::new(wire))
                    .await;
                let (sender, connection) = opened.map_err(|_nothing_was_said| Denied::UpstreamReset)?;
                spawn_local(carry(connection.with_upgrades(), line.clone()));
                (Sender::One(sender), None)
            }
            HttpVersion::Two => {
                let tasks = Tasks::default();
                let words = Arc::<AtomicWaker>::default();
                let wire = TokioIo::new(wire.awaited(words.clone()));
                let opened = http2::Builder::new(tasks.clone())
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .initial_max_send_streams(UNSETTLED)
                    .max_header_list_size(LONGEST_HEAD)
                    .max_send_buf_size(SEND_BUFFER)
                    .handshake(wire)
                    .await;
                let (sender, mut connection) = opened.map_err(|_nothing_was_said| Denied::UpstreamReset)?;
                let followed = line.clone();
                spawn_local(async move {
                    let carried = poll_fn(|cx| {
                        let polled = Pin::new(&mut connection).poll(cx);
                        let most = connection.current_max_send_streams();
                        if most == UNSETTLED {
                            // The library tells nobody that the settings have come.
                            words.register(cx.waker());
                        } else {
                            followed.has_settled(most, connection.is_extended_connect_protocol_enabled());
                        }
                        polled
                    });
                    carry(carried, followed.clone()).await;
                    followed.switches(false);
                    if followed.broken.get() {
                        tasks.cut();
                    }
                });
                (Sender::Two(sender), Some(Stream::new(&line)))
            }
        };
        Ok(Self {
            key,
            line,
            sender,
            stream,
            reused: false,
        })
    }

    /// The same connection for another request; none where a request has it for itself.
    pub(super) fn for_another(&self) -> Option<Self> {
        self.twin(Some(Stream::new(&self.line)))
    }

    /// The same connection while it waits for other requests; none where a request has it for itself.
    pub(super) fn for_others(&self) -> Option<Self> {
        self.twin(None)
    }

    fn twin(&self, stream: Option<Stream>) -> Option<Self> {
        let Sender::Two(sender) = &self.sender else { return None };
        Some(Self {
            key: self.key.clone(),
            line: self.line.clone(),
            sender: Sender::Two(sender.clone()),
            stream,
            reused: true,
        })
    }

    /// Whether the next request can be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        let line = &self.line;
        let ready = match &self.sender {
            Sender::One(sender) => sender.is_ready(),
            Sender::Two(sender) => {
                sender.is_ready() && line.streams.get() < line.most_streams.get().min(MOST_STREAMS as usize)
            }
        };
        ready && !line.broken.get()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        let closed = match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        };
        closed || self.line.broken.get()
    }

    /// Whether other requests use it at the same time.
    pub(super) fn is_shared(&self) -> bool {
        self.stream.is_some()
    }

    /// Waits until the last request is over on both sides; false where the connection is, too.
    pub(super) async fn settled(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request, of which `live` is told when the connection breaks.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        live: &Rc<Live>,
    ) -> Result<Response<Incoming>, NotSent> {
        let sent = match &mut self.sender {
            Sender::One(sender) => {
                self.line.serves.replace(Some(live.clone()));
                sender.try_send_request(request).await
            }
            // A request that is cut is dropped, which resets its stream alone.
            Sender::Two(sender) => {
                let mut request = in_version_two(request, self.key.address);
                let protocol = as_connect(&mut request);
                if protocol.is_some() && !*self.line.switches.wait().await {
                    return Err(NotSent::Unwanted);
                }
                let sent = sender.try_send_request(request).await;
                sent.map(|mut response| {
                    if let Some(protocol) = protocol {
                        as_switched(&mut response, protocol);
                    }
                    response
                })
            }
        };
        sent.map_err(|mut error: TrySendError<_>| match error.take_message() {
            Some(request) => NotSent::Whole(Box::new(request)),
            None => NotSent::Broken(error.into_error()),
        })
    }

    /// Notes that the request is over.
    pub(super) fn release(&mut self) {
        self.line.serves.take();
        self.line.used.set(Instant::now());
        self.reused = true;
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        self.line.broken.set(true);
        if let Some(task) = self.line.task.take() {
            task.wake();
        }
    }
}

// === impl Line ===

impl Line {
    pub(super) fn new(id: ConnectionId, peer: Option<Peer>, ports: LegPorts) -> Self {
        Self {
            id,
            peer,
            opened: Instant::now(),
            told: RefCell::default(),
            used: Cell::new(Instant::now()),
            streams: Cell::default(),
            most_streams: Cell::new(MOST_STREAMS as usize),
            switches: SetOnce::new(),
            serves: RefCell::default(),
            broken: Cell::default(),
            task: RefCell::default(),
            _ports: ports,
        }
    }

    /// Notes the settings of the other end of HTTP/2.
    fn has_settled(&self, most_streams: usize, switches: bool) {
        self.most_streams.set(most_streams);
        self.switches(switches);
    }

    /// Notes whether other protocols can be asked for; the first word counts.
    fn switches(&self, switches: bool) {
        // It was said before.
        let _ = self.switches.set(switches);
    }

    /// Since when it has carried nothing; none while it does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.used.get())
    }
}

// === impl Stream ===

impl Stream {
    fn new(line: &Rc<Line>) -> Self {
        line.streams.set(line.streams.get() + 1);
        Self(line.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Self(line) = self;
        line.streams.set(line.streams.get() - 1);
        line.used.set(Instant::now());
    }
}

/// A request in the form of HTTP/2, whose host is an authority (RFC 9113, 8.3.1). `address` stands for a host that is
/// none.
fn in_version_two<B>(mut request: Request<B>, address: SocketAddr) -> Request<B> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(HOST);
    if host.is_none() && request.uri().authority().is_some() {
        return request;
    }
    let authority = host
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| Authority::try_from(address.to_string()).ok());
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority;
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// Carries a leg's bytes until it is closed, or reset: of HTTP/1 with the request on it, when that is cut.
async fn carry(connection: impl Future<Output = hyper::Result<()>>, line: Rc<Line>) {
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| {
        if line.broken.get() {
            return Poll::Ready(Ok(()));
        }
        if let Some(live) = &*line.serves.borrow()
            && live.poll_cut_carrying(cx).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let mut task = line.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "A connection to an upstream ends"
        );
    }
}

/// How many requests an upstream of HTTP/2 lets a connection carry before its first settings: more than any settings can
/// say, and other than what holds where they say nothing.
const UNSETTLED: usize = 1 << 32;

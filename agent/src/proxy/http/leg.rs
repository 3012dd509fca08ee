//! A connection to an upstream, on which one request follows the other.

use std::{
    cell::{Cell, RefCell},
    future::{Future as _, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::pin,
    rc::Rc,
    task::{Poll, Waker},
    time::Instant,
};

use http::{HeaderValue, Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;

use super::{body::RequestBody, wire::Wire};
use crate::{
    model::PodUid,
    proxy::{connect::LegPorts, live::Live},
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

/// A connection to an upstream that no other request uses.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) key: LegKey,
    pub(super) line: Rc<Line>,
    sender: http1::SendRequest<RequestBody>,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
}

/// What a leg's request and the task that carries its bytes share.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: ConnectionId,
    /// The agent at the other end; none where it is an application.
    pub(super) peer: Option<Peer>,
    pub(super) opened: Instant,
    /// What the agent at the other end was told last of who asks.
    pub(super) told: RefCell<Option<HeaderValue>>,
    /// The request that it carries.
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
}

// === impl Leg ===

impl Leg {
    /// Begins to speak HTTP/1 on a new connection.
    pub(super) async fn open(key: LegKey, wire: Wire, line: Line) -> Result<Self, Denied> {
        let line = Rc::new(line);
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_nothing_was_said| Denied::UpstreamReset)?;
        spawn_local(carry(connection, line.clone()));
        Ok(Self {
            key,
            line,
            sender,
            reused: false,
        })
    }

    /// Whether the next request can be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.line.broken.get()
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.line.broken.get()
    }

    /// Waits until the last request is over on both sides; false where the connection is, too.
    pub(super) async fn settled(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request, of which `live` is told when the connection breaks.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        live: &Rc<Live>,
    ) -> Result<Response<Incoming>, NotSent> {
        self.line.serves.replace(Some(live.clone()));
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut error: TrySendError<_>| match error.take_message() {
                Some(request) => NotSent::Whole(Box::new(request)),
                None => NotSent::Broken(error.into_error()),
            })
    }

    /// Notes that the request is over.
    pub(super) fn release(&mut self) {
        self.line.serves.take();
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
            serves: RefCell::default(),
            broken: Cell::default(),
            task: RefCell::default(),
            _ports: ports,
        }
    }
}

/// Carries a leg's bytes until it is closed, or reset: with the request on it, when that is cut.
async fn carry(connection: http1::Connection<TokioIo<Wire>, RequestBody>, line: Rc<Line>) {
    let mut connection = pin!(connection.with_upgrades());
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

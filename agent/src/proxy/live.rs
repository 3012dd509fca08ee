//! What is known of an open connection, from its accept to its report. All of it stays on one lane: no locks.

mod registry;
mod told;
mod tracked;

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    net::SocketAddr,
    ops::DerefMut,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

pub(super) use self::{registry::Registry, tracked::Tracked};
use super::{
    Shared,
    authorise::{Ground, Judgement},
    captured::Arrival,
    door::OpenDoor,
    identify::{self, Source},
    lane::Lane,
};
use crate::{
    model::{Identity, Mesh, ObjectName, RouteRule},
    telemetry::{ConnectionId, Denied, Direction, Peer, Phase, RequestReport, Security},
};

/// An open connection, or a request on one.
#[derive(Debug)]
pub(super) struct Live {
    id: ConnectionId,
    direction: Cell<Direction>,
    source: SocketAddr,
    source_pod: RefCell<Option<ObjectName>>,
    original_destination: SocketAddr,
    opened: SystemTime,
    accepted: Instant,
    door: Arc<OpenDoor>,
    /// The captured pod at the other end, where this node has both.
    far_door: RefCell<Option<Arc<OpenDoor>>>,
    service: OnceCell<ObjectName>,
    /// Of a route, which decided where it goes.
    rule: RefCell<Option<Arc<RouteRule>>>,
    destination: RefCell<Option<Peer>>,
    connect_time: Cell<Option<Duration>>,
    pub(super) sent: Cell<u64>,
    pub(super) received: Cell<u64>,
    denied: Cell<Option<Denied>>,
    security: Cell<Option<Security>>,
    identities: RefCell<Identities>,
    /// What it was permitted on, and how that was judged.
    grounds: RefCell<Vec<Ground>>,
    judgement: RefCell<Judgement>,
    task: RefCell<Option<Waker>>,
    /// Who carries the request to its upstream.
    carrying_task: RefCell<Option<Waker>>,
    request: RefCell<Option<Box<RequestReport>>>,
}

/// Who is proved to be at either end.
#[derive(Debug, Default)]
struct Identities {
    source: Option<Identity>,
    destination: Option<Identity>,
}

// === impl Lane ===

impl Lane {
    /// Registers a connection until the guard is dropped.
    pub(super) fn track(&self, arrival: &Arrival) -> Tracked {
        self.register(arrival, None)
    }

    /// Registers a request until the guard is dropped.
    pub(super) fn track_request(&self, arrival: &Arrival, request: RequestReport) -> Tracked {
        self.register(arrival, Some(Box::new(request)))
    }

    fn register(&self, arrival: &Arrival, request: Option<Box<RequestReport>>) -> Tracked {
        let Arrival {
            client,
            destination,
            direction,
            seat,
        } = arrival;
        let live = Rc::new(Live {
            id: self.next_id(),
            direction: Cell::new(*direction),
            source: *client,
            source_pod: RefCell::new(identify::source_pod(*direction, *client, &seat.door, self)),
            original_destination: destination.0,
            opened: SystemTime::now(),
            accepted: Instant::now(),
            door: seat.door.clone(),
            far_door: RefCell::default(),
            service: OnceCell::new(),
            rule: RefCell::default(),
            destination: RefCell::default(),
            connect_time: Cell::default(),
            sent: Cell::default(),
            received: Cell::default(),
            denied: Cell::default(),
            security: Cell::default(),
            identities: RefCell::default(),
            grounds: RefCell::default(),
            judgement: RefCell::default(),
            task: RefCell::default(),
            carrying_task: RefCell::default(),
            request: RefCell::new(request),
        });
        self.registry.open.borrow_mut().insert(live.id, live.clone());
        // Registered before the check, so that an end of the pod in between is not lost.
        live.cut_if_gone(&live.door);
        Tracked {
            live,
            registry: self.registry.clone(),
            telemetry: self.shared.telemetry.clone(),
            reported: true,
        }
    }
}

// === impl Live ===

impl Live {
    /// Notes the service that the client asked for.
    pub(super) fn asked_for(&self, service: &ObjectName) {
        let _ = self.service.set(service.clone());
    }

    /// Notes who opened it, as far as that is proved.
    pub(super) fn opened_by(&self, source: &Source, mesh: &Mesh) {
        self.identities.borrow_mut().source = source.identity(mesh);
        if let Source::Peer(remote) = source {
            self.source_pod.replace(Some(remote.name.clone()));
        }
    }

    /// Notes how its bytes pass, and who is proved to serve it.
    pub(super) fn secured(&self, security: Security, destination: Option<Identity>) {
        self.security.set(Some(security));
        self.identities.borrow_mut().destination = destination;
    }

    /// Judges what the connection is to stand on, and keeps it, so that it is judged again at every change.
    pub(super) fn stand_on(&self, ground: Ground, shared: &Shared) -> Result<(), Denied> {
        // Kept before it is judged, so that a change in between is not lost.
        self.grounds.borrow_mut().push(ground);
        self.judge(&shared.mesh(), shared);
        self.denied.get().map_or(Ok(()), Err)
    }

    /// Notes the rule of a route that decided where it goes.
    pub(super) fn ruled(&self, rule: &Arc<RouteRule>) {
        self.rule.replace(Some(rule.clone()));
    }

    /// Notes that it carries requests, each of which has its own endpoint and is told of for itself.
    pub(super) fn carries_requests(&self) {
        self.leave_endpoint();
        self.rule.take();
        self.destination.take();
        self.security.take();
        self.identities.borrow_mut().destination.take();
    }

    /// Gives up what an endpoint was to be reached on, which did not serve. What the address itself is stays.
    pub(super) fn leave_endpoint(&self) {
        self.far_door.take();
        self.grounds
            .borrow_mut()
            .retain(|ground| matches!(ground, Ground::Unknown));
    }

    fn judge(&self, mesh: &Mesh, shared: &Shared) {
        let mut denied = None;
        for ground in &*self.grounds.borrow() {
            let judgement = ground.judge(mesh, shared);
            if judgement.denied.is_some() {
                denied = judgement.denied;
            }
            self.judgement.replace(judgement);
            if denied.is_some() {
                break;
            }
        }
        if let Some(denied) = denied {
            self.cut(denied);
        }
    }

    /// Notes who is to serve it.
    pub(super) fn picked(&self, peer: Peer) {
        self.destination.replace(Some(peer));
    }

    /// Notes that the other end is a captured pod of this node: one pass for both.
    pub(super) fn ends_here(&self, door: &Arc<OpenDoor>) {
        self.direction.set(Direction::Local);
        self.far_door.replace(Some(door.clone()));
        self.cut_if_gone(door);
    }

    /// Why it was refused or cut. The first reason stays.
    pub(super) fn deny(&self, denied: Denied) {
        if self.denied.get().is_none() {
            self.denied.set(Some(denied));
        }
    }

    /// Runs `work` to its end or to the cut of the connection.
    pub(super) async fn unless_cut<T>(
        &self,
        mut work: Pin<impl DerefMut<Target: Future<Output = Result<T, Denied>>>>,
    ) -> Result<T, Denied> {
        poll_fn(|cx| {
            if let Some(denied) = self.denied.get() {
                return Poll::Ready(Err(denied));
            }
            if let poll @ Poll::Ready(_) = work.as_mut().poll(cx) {
                return poll;
            }
            // Cut by its own work, it has been told already.
            self.poll_cut(cx).map(Err)
        })
        .await
    }

    /// Why it was cut, once it is; who asks is woken then.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Denied> {
        wait_for_cut(self.denied.get(), &self.task, cx)
    }

    /// As [`Self::poll_cut`], for who carries the request to its upstream.
    pub(super) fn poll_cut_carrying(&self, cx: &mut Context<'_>) -> Poll<Denied> {
        wait_for_cut(self.denied.get(), &self.carrying_task, cx)
    }

    /// Why it was refused or cut, where it was.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied.get()
    }

    /// Notes that the upstream of a request has answered.
    pub(super) fn has_answer(&self) {
        self.connect_time.set(Some(self.accepted.elapsed()));
    }

    /// Whether its upstream has answered.
    pub(super) fn phase(&self) -> Phase {
        match self.connect_time.get() {
            Some(_) => Phase::Open,
            None => Phase::Connecting,
        }
    }

    /// Notes more of the request.
    pub(super) fn request(&self, note: impl FnOnce(&mut RequestReport, Duration)) {
        if let Some(request) = &mut *self.request.borrow_mut() {
            note(request, self.accepted.elapsed());
        }
    }

    fn cut_if_gone(&self, door: &OpenDoor) {
        if door.is_gone() {
            self.cut(Denied::PodGone);
        }
    }

    pub(super) fn cut(&self, denied: Denied) {
        self.deny(denied);
        for task in [&self.task, &self.carrying_task] {
            if let Some(task) = task.borrow_mut().take() {
                task.wake();
            }
        }
    }
}

fn wait_for_cut(denied: Option<Denied>, task: &RefCell<Option<Waker>>, cx: &Context<'_>) -> Poll<Denied> {
    if let Some(denied) = denied {
        return Poll::Ready(denied);
    }
    let mut task = task.borrow_mut();
    if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *task = Some(cx.waker().clone());
    }
    Poll::Pending
}

//! Copies of requests (the filter RequestMirror): what becomes of one is counted, and is nobody else's business.
//!
//! A copy is sent when its request has come whole, so that a mirror never sees half of one.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use http::{
    Request,
    header::{AUTHORIZATION, EXPECT, UPGRADE},
};
use tokio::{task::spawn_local, time::timeout};

use super::{
    answer::refused_there,
    ask::{Answered, Plan, ask, head_of},
    body::{RequestBody, SpareBody},
    conversation::Conversation,
    discard::drain,
    exchange::Exchange,
    expect,
    tape::Torn,
};
use crate::{
    model::{BackendTarget, Family, Mirror},
    proxy::{
        lane::Lane,
        route::{Route, random},
    },
    telemetry::{Denied, MirrorOutcome},
};

/// How many copies of a lane are under way.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Mirrors(Cell<usize>);

/// One of them.
struct Place(Rc<Lane>);

/// A copy of a request that is to be sent.
struct Copy {
    head: Request<()>,
    body: SpareBody,
    target: BackendTarget,
    /// How long it may take, from when it is sent to the end of its response.
    limit: Duration,
    conversation: Rc<Conversation>,
}

/// Has copies of the request, as it is, sent to those mirrors that draw it; `limit` is the request's own.
pub(super) fn copy(
    mirrors: &[Mirror],
    request: &mut Request<RequestBody>,
    limit: Option<Duration>,
    exchange: &Rc<Exchange>,
) {
    // What follows a change of protocol is no request.
    if request.headers().contains_key(UPGRADE) {
        return;
    }
    for mirror in mirrors.iter().filter(|mirror| mirror.share.draws(random())) {
        let conversation = exchange.conversation.of_copies();
        request.body_mut().remember(conversation.arrival.door());
        let Some(body) = request.body().spare() else { continue };
        let mut head = head_of(request);
        // The client waits for its own upstream's word, and for no other.
        head.headers_mut().remove(EXPECT);
        expect::listen(&mut head, None, &conversation.lane.shared.telemetry);
        let target = mirror.target.clone();
        let copy = Copy {
            head,
            body,
            target,
            limit: limit.map_or(LONGEST, |limit| limit.min(LONGEST)),
            conversation,
        };
        spawn_local(copy.serve());
    }
}

// === impl Copy ===

impl Copy {
    async fn serve(self) {
        let lane = self.conversation.lane.clone();
        let outcome = self.outcome().await;
        lane.shared.telemetry.mirrored(outcome);
    }

    async fn outcome(self) -> MirrorOutcome {
        let recorded = match &self.body {
            SpareBody::Whole(recorded) => Ok(recorded.clone()),
            SpareBody::Coming(tape) => tape.recorded().await,
        };
        let body = match recorded {
            Ok(recorded) => RequestBody::again(recorded),
            Err(Torn::TooLong) => return MirrorOutcome::BodyTooLong,
            Err(Torn::NoRoom) => return MirrorOutcome::NoRoom,
            Err(Torn::Unfinished) => return MirrorOutcome::Unfinished,
        };
        let Some(_place) = Place::take(&self.conversation.lane) else {
            return MirrorOutcome::TooMany;
        };
        match timeout(self.limit, self.send(body)).await {
            Ok(Ok(())) => MirrorOutcome::Answered,
            Ok(Err(denied)) => MirrorOutcome::Failed(denied),
            Err(_elapsed) => MirrorOutcome::TimedOut,
        }
    }

    async fn send(self, body: RequestBody) -> Result<(), Denied> {
        let Self {
            head,
            body: _,
            target,
            limit: _,
            conversation,
        } = self;
        let BackendTarget::Service { service, port } = target else {
            return Err(Denied::BackendNotResolved);
        };
        let exchange = Exchange::of_copy(&head, &conversation);
        conversation.pin_if_bound(head.headers().get(AUTHORIZATION));
        let mesh = conversation.lane.shared.mesh();
        let family = Family::of(conversation.arrival.destination.0.ip());
        let route = mesh
            .backend(&service, port, family)
            .and_then(|wanted| Route::of_service(&wanted, port))
            .ok_or(Denied::BackendNotResolved)?;
        let request = head.map(|()| body);
        let Answered { response, leg, .. } = ask(request, &route, Plan::default(), &exchange).await?;
        let refused = leg.line.peer.is_some().then(|| refused_there(response.headers()));
        exchange.has_answer();
        let draining = pin!(async { Ok(drain(response.into_body(), usize::MAX).await) });
        if !exchange.unless_cut(draining).await? {
            return Err(Denied::UpstreamReset);
        }
        conversation.give_back(leg);
        refused.flatten().map_or(Ok(()), Err)
    }
}

// === impl Place ===

impl Place {
    /// None where there are too many.
    fn take(lane: &Rc<Lane>) -> Option<Self> {
        let Mirrors(under_way) = &lane.mirrors;
        let more = under_way.get() + 1;
        (more <= MOST).then(|| {
            under_way.set(more);
            Self(lane.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Mirrors(under_way) = &self.0.mirrors;
        under_way.set(under_way.get() - 1);
    }
}

/// How many copies of a lane may be under way at once.
const MOST: usize = 256;
/// How long a copy may take whose request has no limit.
const LONGEST: Duration = Duration::from_secs(15);

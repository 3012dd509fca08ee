//! Sends a request to an endpoint until there is a response: again where a connection was over before it was used, and
//! where the rule says so.

use std::{net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    answer::refused_there,
    body::{RequestBody, SpareBody},
    discard::discard,
    exchange::Exchange,
    failure::{has_ended, no_response},
    find::find,
    leg::{Leg, NotSent},
    retry::Tries,
};
use crate::{
    model::Retry,
    proxy::{
        outbound::elsewhere,
        route::{Route, random},
    },
    telemetry::{Denied, RetryCause},
};

/// What a rule says of how a request is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan<'a> {
    /// How long each time may take, to the end of the response.
    pub(super) attempt: Option<Duration>,
    /// When it is sent again.
    pub(super) retry: Option<&'a Retry>,
    /// The endpoint that is asked first; another one where that fails.
    pub(super) first: Option<SocketAddr>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) leg: Leg,
    /// Until when the rest of the response may take.
    pub(super) end: Option<Instant>,
}

/// A request for another time that it is sent.
struct Spare {
    head: Request<()>,
    body: SpareBody,
}

/// What came of sending a request once.
struct Tried {
    outcome: Result<Answered, Denied>,
    /// Why it is sent again, and what.
    again: Option<(RetryCause, Request<RequestBody>)>,
}

/// Sends the request to an endpoint and waits for its response's head.
pub(super) async fn ask(
    mut request: Request<RequestBody>,
    route: &Route,
    plan: Plan<'_>,
    exchange: &Rc<Exchange>,
) -> Result<Answered, Denied> {
    let mut tries = Tries::new(plan.retry, plan.first);
    loop {
        let end = plan.attempt.map(|limit| Instant::now() + limit);
        let Tried { outcome, again } = ask_once(request, route, &mut tries, end, exchange).await;
        let Some((cause, next)) = again else {
            return outcome;
        };
        if let Ok(Answered { response, leg, .. }) = outcome {
            tries.tried.push(leg.key.address);
            discard(response, leg, &exchange.conversation);
        }
        exchange.leave_endpoint();
        exchange.is_tried_again(cause);
        let pause = pin!(async {
            sleep(tries.next(random())).await;
            Ok(())
        });
        exchange.unless_cut(pause).await?;
        request = next;
    }
}

/// Works until a time has come.
pub(super) async fn before<T>(
    end: Option<Instant>,
    work: impl Future<Output = Result<T, Denied>>,
) -> Result<T, Denied> {
    match end {
        Some(end) => timeout_at(end, work).await.unwrap_or(Err(Denied::UpstreamTimeout)),
        None => work.await,
    }
}

/// The same head, for who sends the request too.
pub(super) fn head_of<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    *head.extensions_mut() = request.extensions().clone();
    head
}

async fn ask_once(
    mut request: Request<RequestBody>,
    route: &Route,
    tries: &mut Tries<'_>,
    end: Option<Instant>,
    exchange: &Rc<Exchange>,
) -> Tried {
    let (mut stale, mut has_moved) = (0, false);
    let arrival = &exchange.conversation.arrival;
    loop {
        let mut leg = match before(
            end,
            find(route, tries.first, &mut tries.tried, request.headers_mut(), exchange),
        )
        .await
        {
            Ok(leg) => leg,
            Err(denied) => return Tried::failed(denied, Some(request), tries, exchange),
        };
        let (reused, address) = (leg.reused, leg.key.address);
        let is_safe = reused && request.method().is_idempotent();
        let may_be_refused = leg.line.peer.is_some() && !has_moved;
        let is_spared = is_safe || may_be_refused || tries.are_left();
        let spare = is_spared.then(|| Spare::of(&request)).flatten();
        request = match before(end, send(request, &mut leg, exchange)).await {
            Ok(Ok(response)) => {
                let refused = leg.line.peer.is_some().then(|| refused_there(response.headers()));
                let refused = refused.flatten();
                if let Some(denied) = refused {
                    arrival.door().troubles.is_refused(address, denied);
                }
                let cause = tries.after_response(response.status(), refused);
                let again = spare.and_then(Spare::request);
                let may_move = |denied| {
                    let tried: Vec<SocketAddr> = tries.tried.iter().copied().chain([address]).collect();
                    may_be_refused && elsewhere(denied) && route.has_others(&tried)
                };
                match (refused, again) {
                    // No application has seen it: another endpoint is asked, as where an endpoint itself refuses. Where the
                    // rule says what is done, that is done.
                    (Some(denied), Some(request)) if cause.is_none() && may_move(denied) => {
                        tries.tried.push(address);
                        discard(response, leg, &exchange.conversation);
                        has_moved = true;
                        request
                    }
                    (_, again) => {
                        return Tried {
                            again: cause.zip(again),
                            outcome: Ok(Answered { response, leg, end }),
                        };
                    }
                }
            }
            // The connection was over before it was used: as often as one waits, then for new ones.
            Ok(Err(NotSent::Whole(request))) if reused || stale < MOST_STALE => *request,
            Ok(Err(NotSent::Whole(request))) => {
                tries.tried.push(address);
                return Tried::failed(Denied::UpstreamReset, Some(*request), tries, exchange);
            }
            Ok(Err(NotSent::Broken(error))) => {
                let again = spare.and_then(Spare::request);
                match again {
                    Some(request) if is_safe && has_ended(&error) => request,
                    again => {
                        tries.tried.push(address);
                        return Tried::failed(no_response(&error), again, tries, exchange);
                    }
                }
            }
            Ok(Err(NotSent::Unwanted)) => return Tried::failed(Denied::UpstreamProtocol, None, tries, exchange),
            Err(denied) => {
                leg.release();
                tries.tried.push(address);
                return Tried::failed(denied, spare.and_then(Spare::request), tries, exchange);
            }
        };
        stale += usize::from(!reused);
        exchange.leave_endpoint();
    }
}

/// Sends a request and waits for its response's head.
async fn send(
    request: Request<RequestBody>,
    leg: &mut Leg,
    exchange: &Exchange,
) -> Result<Result<Response<Incoming>, NotSent>, Denied> {
    let sending = pin!(async { Ok(leg.send(request, exchange.rc_live()).await) });
    exchange.unless_cut(sending).await
}

// === impl Tried ===

impl Tried {
    fn failed(denied: Denied, again: Option<Request<RequestBody>>, tries: &Tries<'_>, exchange: &Exchange) -> Self {
        // One that was cut is over.
        let cause = tries.after_failure(denied).filter(|_| exchange.denied().is_none());
        Self {
            outcome: Err(denied),
            again: cause.zip(again),
        }
    }
}

// === impl Spare ===

impl Spare {
    /// None where nobody remembers its body.
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let body = request.body().spare()?;
        let head = head_of(request);
        Some(Self { head, body })
    }

    /// The request, where all of it had come by this time.
    fn request(self) -> Option<Request<RequestBody>> {
        let body = self.body.now()?;
        Some(self.head.map(|()| body))
    }
}

/// How many connections in a row may be over before they are used.
const MOST_STALE: usize = 3;

//! A request and its response, from the request's head to the end of both bodies: its end is the report.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header::HOST};
use tokio::{
    task::spawn_local,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{conversation::Conversation, outlet::Outlet};
use crate::{
    proxy::{
        balance::Picked,
        detect::HttpVersion,
        live::{Live, Tracked},
    },
    telemetry::{Denied, RequestReport, RetryCause},
};

/// A request on its way, with what it holds.
#[derive(Debug)]
pub(super) struct Exchange {
    tracked: Tracked,
    pub(super) conversation: Rc<Conversation>,
    /// Where its response goes, of HTTP/2.
    pub(super) outlet: Option<Rc<Outlet>>,
    /// Counts it among its endpoint's load.
    picked: RefCell<Option<Picked>>,
    whole: Cell<bool>,
    /// Why it was refused, by this agent or by the upstream's: its response says so.
    refused: Cell<Option<Denied>>,
    /// Cuts it when its time is over.
    ending: RefCell<Option<AbortOnDropHandle<()>>>,
}

// === impl Exchange ===

impl Exchange {
    /// Begins to tell of a request, before anything of it is changed.
    pub(super) fn new<B>(request: &Request<B>, conversation: &Rc<Conversation>) -> Rc<Self> {
        let tracked = conversation.lane.track_request(&conversation.arrival, report(request));
        Self::of(tracked, conversation)
    }

    /// Begins with a copy of a request, of which nothing is told at its end.
    pub(super) fn of_copy<B>(request: &Request<B>, conversation: &Rc<Conversation>) -> Rc<Self> {
        let tracked = conversation.lane.track_request(&conversation.arrival, report(request));
        Self::of(tracked.untold(), conversation)
    }

    fn of(tracked: Tracked, conversation: &Rc<Conversation>) -> Rc<Self> {
        conversation.pace.begun();
        // The one counts before the other does no longer.
        conversation.asked();
        let outlet = Outlet::current();
        if let Some(outlet) = &outlet {
            outlet.serves(tracked.live());
            conversation.pace.writes(outlet);
        }
        Rc::new(Self {
            tracked,
            outlet,
            conversation: conversation.clone(),
            picked: RefCell::default(),
            whole: Cell::default(),
            refused: Cell::default(),
            ending: RefCell::default(),
        })
    }

    /// Notes the endpoint, and counts the request among its load.
    pub(super) fn goes_to(&self, picked: Picked) {
        self.picked.replace(Some(picked));
    }

    /// Notes why it is refused.
    pub(super) fn refused(&self, denied: Denied) {
        self.refused.set(Some(denied));
    }

    /// Whether its response is no application's.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    /// Cuts it at that time, if it is not over before.
    pub(super) fn ends_at(&self, end: Instant) {
        let live = Rc::downgrade(self.rc_live());
        let conversation = Rc::downgrade(&self.conversation);
        let ending = spawn_local(async move {
            sleep_until(end).await;
            if let Some(live) = live.upgrade() {
                live.cut(Denied::UpstreamTimeout);
            }
            // Of a client that does not read nobody asks for more of the body, where the cut would be found. Of HTTP/2 its
            // outlet finds it.
            if let Some(conversation) = conversation.upgrade().filter(|it| it.version == HttpVersion::One) {
                conversation.pace.is_late();
            }
        });
        self.ending.replace(Some(AbortOnDropHandle::new(ending)));
    }

    /// Lets it last.
    pub(super) fn ends_never(&self) {
        self.ending.replace(None);
    }

    /// Notes that it is tried again.
    pub(super) fn is_tried_again(&self, cause: RetryCause) {
        self.request(|request, _| request.retries += 1);
        self.conversation.lane.shared.telemetry.retried(cause);
    }

    /// Notes the response's head.
    pub(super) fn answered(&self, status: StatusCode) {
        self.has_answer();
        self.request(|request, elapsed| {
            request.status = Some(status);
            request.response_time = Some(elapsed);
        });
    }

    /// Notes that the response is whole: it is in time.
    pub(super) fn is_whole(&self) {
        self.whole.set(true);
        self.ends_never();
    }

    pub(super) fn rc_live(&self) -> &Rc<Live> {
        self.tracked.live()
    }
}

impl Deref for Exchange {
    type Target = Live;

    fn deref(&self) -> &Live {
        &self.tracked
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.conversation.pace.ended(self.tracked.live());
        if let Some(outlet) = &self.outlet {
            self.conversation.pace.has_written(outlet);
        }
        if let Some(denied) = self.refused.get() {
            self.deny(denied);
        } else if !self.whole.get() {
            // Why the connection was cut is why the request was.
            self.deny(self.conversation.denied().unwrap_or(Denied::ClientGone));
        }
    }
}

/// What is told of a request from its beginning.
fn report<B>(request: &Request<B>) -> RequestReport {
    let headers = request.headers();
    RequestReport {
        method: request.method().clone(),
        target: request.uri().clone(),
        authority: headers.get(HOST).cloned().or_else(|| authority(request.uri())),
        version: request.version(),
        status: None,
        id: None,
        trace: trace(headers).and_then(|name| headers.get(name)).cloned(),
        response_time: None,
        retries: 0,
        detail: None,
    }
}

/// What a client of HTTP/2 says in place of a host.
fn authority(uri: &Uri) -> Option<HeaderValue> {
    HeaderValue::try_from(uri.authority()?.as_str()).ok()
}

/// Which header tells of the trace.
fn trace(headers: &HeaderMap) -> Option<&'static HeaderName> {
    TRACES.iter().find(|name| headers.contains_key(*name))
}

/// W3C Trace Context's, then B3's in one header and in several.
static TRACES: [HeaderName; 3] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
];

//! A request and its response, from the request's head to the end of both bodies: its end is the report.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
};

use http::{HeaderMap, HeaderName, Request, StatusCode, header::HOST};

use super::conversation::Conversation;
use crate::{
    proxy::{
        balance::Picked,
        live::{Live, Tracked},
    },
    telemetry::{Denied, RequestReport},
};

/// A request on its way, with what it holds.
#[derive(Debug)]
pub(super) struct Exchange {
    tracked: Tracked,
    pub(super) conversation: Rc<Conversation>,
    /// Counts it among its endpoint's load.
    picked: RefCell<Option<Picked>>,
    whole: Cell<bool>,
    /// Why it was refused, by this agent or by the upstream's: its response says so.
    refused: Cell<Option<Denied>>,
}

// === impl Exchange ===

impl Exchange {
    /// Begins to tell of a request, before anything of it is changed.
    pub(super) fn new<B>(request: &Request<B>, conversation: &Rc<Conversation>) -> Rc<Self> {
        let headers = request.headers();
        let report = RequestReport {
            method: request.method().clone(),
            target: request.uri().clone(),
            authority: headers.get(HOST).cloned(),
            version: request.version(),
            status: None,
            route: None,
            id: None,
            trace: trace(headers).and_then(|name| headers.get(name)).cloned(),
            response_time: None,
            detail: None,
        };
        conversation.pace.begun();
        Rc::new(Self {
            tracked: conversation.lane.track_request(&conversation.arrival, report),
            conversation: conversation.clone(),
            picked: RefCell::default(),
            whole: Cell::default(),
            refused: Cell::default(),
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

    /// Notes the response's head.
    pub(super) fn answered(&self, status: StatusCode) {
        self.has_answer();
        self.request(|request, elapsed| {
            request.status = Some(status);
            request.response_time = Some(elapsed);
        });
    }

    /// Notes that the response is whole.
    pub(super) fn is_whole(&self) {
        self.whole.set(true);
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
        if let Some(denied) = self.refused.get() {
            self.deny(denied);
        } else if !self.whole.get() {
            // Why the connection was cut is why the request was.
            self.deny(self.conversation.denied().unwrap_or(Denied::ClientGone));
        }
    }
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

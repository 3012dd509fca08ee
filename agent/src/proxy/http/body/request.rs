//! A request's body, on its way to an upstream.

use std::{
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Broken, count};
use crate::proxy::{
    detect::HttpVersion,
    door::OpenDoor,
    http::{
        exchange::Exchange,
        expect::Gate,
        tape::{Recorded, Tape},
    },
};

/// A request's body, on its way to an upstream.
#[derive(Debug)]
pub(in crate::proxy::http) struct RequestBody(Source);

#[derive(Debug)]
enum Source {
    /// A client sends it.
    Client(ClientBody),
    /// It has come whole before: it concerns no client.
    Again(Recorded),
}

/// What a client sends, with what is to be known of it.
#[derive(Debug)]
struct ClientBody {
    /// None where the request has none.
    incoming: Option<Incoming>,
    /// What it waits for.
    gate: Option<Gate>,
    /// Whether the client is waited for.
    awaits: bool,
    /// Who remembers it.
    tape: Option<Rc<Tape>>,
    exchange: Rc<Exchange>,
}

// === impl RequestBody ===

impl RequestBody {
    /// What the client sends.
    pub(in crate::proxy::http) fn new(incoming: Incoming, gate: Option<Gate>, exchange: Rc<Exchange>) -> Self {
        Self(Source::Client(ClientBody {
            incoming: Some(incoming).filter(|incoming| !incoming.is_end_stream()),
            gate,
            awaits: false,
            tape: None,
            exchange,
        }))
    }

    /// What came before, once more.
    pub(in crate::proxy::http) fn again(recorded: Recorded) -> Self {
        Self(Source::Again(recorded))
    }

    /// Has it remembered on its way.
    pub(in crate::proxy::http) fn remember(&mut self, door: &Arc<OpenDoor>) {
        if let Source::Client(ClientBody {
            incoming: Some(incoming),
            tape,
            ..
        }) = &mut self.0
        {
            tape.get_or_insert_with(|| Tape::new(&incoming.size_hint(), door));
        }
    }

    /// How it can be sent again; not at all where nobody remembers it.
    pub(in crate::proxy::http) fn spare(&self) -> Option<SpareBody> {
        match &self.0 {
            Source::Client(ClientBody { incoming: None, .. }) => Some(SpareBody::Whole(Recorded::default())),
            Source::Client(ClientBody { tape, .. }) => tape.clone().map(SpareBody::Coming),
            Source::Again(recorded) => Some(SpareBody::Whole(recorded.clone())),
        }
    }
}

/// A body that can be sent again when it has come whole.
#[derive(Clone, Debug)]
pub(in crate::proxy::http) enum SpareBody {
    /// It has.
    Whole(Recorded),
    /// It is on its way.
    Coming(Rc<Tape>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.get_mut().0 {
            Source::Client(body) => body.poll_frame(cx),
            Source::Again(recorded) => Poll::Ready(recorded.next().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Client(body) => body.incoming.as_ref().is_none_or(Body::is_end_stream),
            Source::Again(recorded) => recorded.data.is_empty() && recorded.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Client(body) => body.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint),
            Source::Again(recorded) => SizeHint::with_exact(recorded.data.len() as u64),
        }
    }
}

// === impl ClientBody ===

impl ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &mut self.gate {
            ready!(gate.poll_open(cx));
            self.gate = None;
        }
        let conversation = &self.exchange.conversation;
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            // Calls of HTTP/2 may be quiet for as long as they like: many of them are conversations.
            if !self.awaits && conversation.version == HttpVersion::One {
                self.awaits = true;
                conversation.pace.awaits(Some(self.exchange.rc_live()));
            }
            // On a connection that others use too nobody else notices the cut of a request that has its answer.
            let cut = self.exchange.poll_cut_carrying(cx);
            return cut.map(|denied| Some(Err(Broken::Cut(denied))));
        };
        if self.awaits {
            self.awaits = false;
            conversation.pace.awaits(None);
        }
        if let Some(Ok(frame)) = &frame {
            count(&self.exchange.sent, frame.data_ref());
            if let Some(tape) = &self.tape {
                tape.add(frame);
            }
        }
        // Nothing follows trailers, and nobody asks after them.
        let is_last = match &frame {
            Some(Ok(frame)) => frame.is_trailers() || incoming.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        if is_last {
            conversation.heads.body_ended();
            if let Some(tape) = &self.tape {
                tape.is_whole();
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Side)))
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(tape) = &self.tape {
            tape.is_over();
        }
        // What is left of it is none of the next head.
        if self.incoming.is_some() {
            self.exchange.conversation.heads.body_ended();
        }
    }
}

// === impl SpareBody ===

impl SpareBody {
    /// The body, where it has come whole by this time.
    pub(in crate::proxy::http) fn now(&self) -> Option<RequestBody> {
        let recorded = match self {
            Self::Whole(recorded) => recorded.clone(),
            Self::Coming(tape) => tape.told()?.ok()?,
        };
        Some(RequestBody::again(recorded))
    }
}

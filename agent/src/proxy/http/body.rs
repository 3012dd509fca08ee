//! Bodies on their way: counted, and ended with their request.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{exchange::Exchange, expect::Gate, leg::Leg};
use crate::telemetry::Denied;

/// A request's body, on its way to the upstream.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None where the request has none.
    incoming: Option<Incoming>,
    /// What it waits for.
    gate: Option<Gate>,
    /// Whether the client is waited for.
    awaits: bool,
    exchange: Rc<Exchange>,
}

/// A response's body, on its way to the client.
#[derive(Debug)]
pub(super) struct ResponseBody {
    from: From,
    exchange: Rc<Exchange>,
}

#[derive(Debug)]
enum From {
    /// The agent's own.
    Agent(Option<Bytes>),
    /// None: bytes follow that are no body.
    Nobody,
    /// The upstream's, with the leg that is to be given back.
    Upstream { incoming: Incoming, leg: Option<Leg> },
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Its connection has failed.
    #[error("the other side has failed")]
    Side(#[from] hyper::Error),
    /// The request was cut.
    #[error("the request was cut: {}", .0.label())]
    Cut(Denied),
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn new(incoming: Incoming, gate: Option<Gate>, exchange: Rc<Exchange>) -> Self {
        Self {
            incoming: Some(incoming).filter(|incoming| !incoming.is_end_stream()),
            gate,
            awaits: false,
            exchange,
        }
    }

    /// That of a request without one.
    pub(super) fn none(exchange: Rc<Exchange>) -> Self {
        Self {
            incoming: None,
            gate: None,
            awaits: false,
            exchange,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &mut this.gate {
            ready!(gate.poll_open(cx));
            this.gate = None;
        }
        let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) else {
            if !this.awaits {
                this.awaits = true;
                this.exchange.conversation.pace.awaits(Some(this.exchange.rc_live()));
            }
            return Poll::Pending;
        };
        if this.awaits {
            this.awaits = false;
            this.exchange.conversation.pace.awaits(None);
        }
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            count(&this.exchange.sent, data);
        }
        if frame.is_none() || incoming.is_end_stream() {
            this.exchange.conversation.heads.body_ended();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Side)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // What is left of it is none of the next head.
        if self.incoming.is_some() {
            self.exchange.conversation.heads.body_ended();
        }
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// The agent's own words.
    pub(super) fn agent(words: Bytes, exchange: Rc<Exchange>) -> Self {
        Self {
            from: From::Agent(Some(words).filter(|words| !words.is_empty())),
            exchange,
        }
    }

    /// That of a response after which both sides speak another protocol: its end is not the request's.
    pub(super) fn switched(exchange: Rc<Exchange>) -> Self {
        Self {
            from: From::Nobody,
            exchange,
        }
    }

    pub(super) fn upstream(incoming: Incoming, leg: Leg, exchange: Rc<Exchange>) -> Self {
        let mut body = Self {
            from: From::Upstream {
                incoming,
                leg: Some(leg),
            },
            exchange,
        };
        if body.is_end_stream() {
            body.end();
        }
        body
    }

    /// Notes the end and gives the leg back.
    fn end(&mut self) {
        let leg = match &mut self.from {
            From::Nobody => return,
            From::Agent(_) => None,
            From::Upstream { leg, .. } => leg.take(),
        };
        self.exchange.is_whole();
        if let Some(leg) = leg {
            self.exchange.conversation.give_back(leg);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        let incoming = match &mut this.from {
            From::Agent(words) => {
                let words = words.take();
                this.exchange.is_whole();
                return Poll::Ready(words.map(|words| Ok(Frame::data(words))));
            }
            From::Nobody => return Poll::Ready(None),
            From::Upstream { incoming, .. } => incoming,
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                count(&this.exchange.received, frame.data_ref());
                // Nothing follows trailers, and nobody asks after them.
                if frame.is_trailers() || incoming.is_end_stream() {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.exchange.deny(Denied::UpstreamReset);
                Poll::Ready(Some(Err(Broken::Side(error))))
            }
            Poll::Pending => this.exchange.poll_cut(cx).map(|denied| Some(Err(Broken::Cut(denied)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            From::Nobody => true,
            From::Agent(words) => words.is_none(),
            From::Upstream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            From::Nobody => SizeHint::with_exact(0),
            From::Agent(words) => SizeHint::with_exact(words.as_ref().map_or(0, |words| words.len() as u64)),
            From::Upstream { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // A response to HEAD, or one without a body, is whole without having been read.
        if self.is_end_stream() {
            self.end();
        }
    }
}

fn count(counter: &std::cell::Cell<u64>, data: Option<&Bytes>) {
    counter.set(counter.get() + data.map_or(0, |data| data.len() as u64));
}

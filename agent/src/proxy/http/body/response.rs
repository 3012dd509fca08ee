//! A response's body, on its way to the client: its end is the request's.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Broken, count};
use crate::{
    proxy::http::{exchange::Exchange, leg::Leg},
    telemetry::Denied,
};

/// A response's body, on its way to the client.
#[derive(Debug)]
pub(in crate::proxy::http) struct ResponseBody {
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

// === impl ResponseBody ===

impl ResponseBody {
    /// The agent's own words.
    pub(in crate::proxy::http) fn agent(words: Bytes, exchange: Rc<Exchange>) -> Self {
        Self {
            from: From::Agent(Some(words).filter(|words| !words.is_empty())),
            exchange,
        }
    }

    /// That of a response after which both sides speak another protocol: its end is not the request's.
    pub(in crate::proxy::http) fn switched(exchange: Rc<Exchange>) -> Self {
        Self {
            from: From::Nobody,
            exchange,
        }
    }

    pub(in crate::proxy::http) fn upstream(incoming: Incoming, leg: Leg, exchange: Rc<Exchange>) -> Self {
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

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let incoming = match &mut self.from {
            From::Agent(words) => {
                let words = words.take();
                self.exchange.is_whole();
                return Poll::Ready(words.map(|words| Ok(Frame::data(words))));
            }
            From::Nobody => return Poll::Ready(None),
            From::Upstream { incoming, .. } => incoming,
        };
        // Also of one that always has more.
        if let Some(denied) = self.exchange.denied() {
            return Poll::Ready(Some(Err(Broken::Cut(denied))));
        }
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                count(&self.exchange.received, frame.data_ref());
                // Nothing follows trailers, and nobody asks after them.
                if frame.is_trailers() || incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.exchange.deny(Denied::UpstreamReset);
                Poll::Ready(Some(Err(Broken::Side(error))))
            }
            Poll::Pending => self.exchange.poll_cut(cx).map(|denied| Some(Err(Broken::Cut(denied)))),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        if let Some(outlet) = &this.exchange.outlet {
            outlet.is_asked();
        }
        let polled = this.poll_next(cx);
        if let (Poll::Ready(Some(Ok(_))), Some(outlet)) = (&polled, &this.exchange.outlet) {
            outlet.is_given();
        }
        polled
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

//! `101 Switching Protocols`: from there on a request is two streams of bytes.
//!
//! HTTP/2 has another form of it (RFC 8441): CONNECT with the protocol's name, and 200. Between [`Upgrade::of_connect`] and
//! [`Upgrade::done`] on the client's side, and [`as_connect`] and [`as_switched`] on the upstream's, it has HTTP/1's.

use std::{
    cell::Cell,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::{
    body::Incoming,
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    task::spawn_local,
};

use super::{body::ResponseBody, exchange::Exchange, hop, leg::Leg};
use crate::{
    proxy::{detect::HttpVersion, live::Live},
    telemetry::Denied,
};

/// A client that asks for another protocol.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// Counts what is read of one side.
struct Counted<'a> {
    side: TokioIo<Upgraded>,
    read: &'a Cell<u64>,
}

// === impl Upgrade ===

impl Upgrade {
    pub(super) fn new(protocol: HeaderValue, request: &mut Request<Incoming>) -> Self {
        Self {
            protocol,
            client: hyper::upgrade::on(request),
        }
    }

    /// A client of HTTP/2 that asks so: its request becomes HTTP/1's.
    pub(super) fn of_connect(request: &mut Request<Incoming>) -> Option<Self> {
        let protocol = request.extensions_mut().remove::<Protocol>()?;
        let protocol = HeaderValue::from_str(protocol.as_str()).ok()?;
        *request.method_mut() = Method::GET;
        Some(Self::new(protocol, request))
    }

    /// Asks the upstream for it.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        hop::set_upgrade(headers, self.protocol.clone());
    }

    /// Passes the upstream's consent on, and copies bytes as soon as both sides have switched.
    pub(super) fn done(
        self,
        protocol: HeaderValue,
        mut response: Response<Incoming>,
        leg: Leg,
        exchange: &Rc<Exchange>,
    ) -> Response<ResponseBody> {
        let upstream = hyper::upgrade::on(&mut response);
        let client = self.client;
        let copying = exchange.clone();
        spawn_local(async move {
            // The upstream's socket is the upgrade's now; what it holds beside it is the leg's.
            let copied = pin!(async {
                let switched = futures_util::future::try_join(client, upstream).await;
                let (client, upstream) = switched.map_err(|_one_side_is_gone| Denied::UpstreamReset)?;
                let live: &Live = &copying;
                copy(client, upstream, live)
                    .await
                    .map_err(|_error| Denied::UpstreamReset)
            });
            match copying.unless_cut(copied).await {
                Ok(()) => copying.is_whole(),
                Err(denied) => copying.deny(denied),
            }
            drop(leg);
        });
        match exchange.conversation.version {
            HttpVersion::One => hop::set_upgrade(response.headers_mut(), protocol),
            HttpVersion::Two => *response.status_mut() = StatusCode::OK,
        }
        response.map(|_no_body| ResponseBody::switched(exchange.clone()))
    }
}

/// Gives a request for another protocol the form of HTTP/2, and back that protocol; none where it asks for none.
pub(super) fn as_connect<B>(request: &mut Request<B>) -> Option<HeaderValue> {
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    let protocol = headers.remove(UPGRADE)?;
    let name = Protocol::from(protocol.to_str().ok()?);
    request.extensions_mut().insert(name);
    *request.method_mut() = Method::CONNECT;
    Some(protocol)
}

/// Gives the consent of an upstream of HTTP/2 the form of HTTP/1.
pub(super) fn as_switched<B>(response: &mut Response<B>, protocol: HeaderValue) {
    if response.status().is_success() {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        hop::set_upgrade(response.headers_mut(), protocol);
    }
}

async fn copy(client: Upgraded, upstream: Upgraded, live: &Live) -> io::Result<()> {
    let counted = |side, read| Counted {
        side: TokioIo::new(side),
        read,
    };
    let (mut client, mut upstream) = (counted(client, &live.sent), counted(upstream, &live.received));
    copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}

// === impl Counted ===

impl AsyncRead for Counted<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.side).poll_read(cx, buffer);
        self.read.set(self.read.get() + (buffer.filled().len() - before) as u64);
        read
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.side).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}

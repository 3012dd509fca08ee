//! `101 Switching Protocols`: from there on a request is two streams of bytes.

use std::{
    cell::Cell,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    task::spawn_local,
};

use super::{body::ResponseBody, exchange::Exchange, hop, leg::Leg};
use crate::{proxy::live::Live, telemetry::Denied};

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
        hop::set_upgrade(response.headers_mut(), protocol);
        response.map(|_no_body| ResponseBody::switched(exchange.clone()))
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

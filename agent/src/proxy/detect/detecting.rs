//! The steps of finding out what a connection speaks, from what is known before anybody has spoken.

use std::{
    cell::Cell,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{Declared, HttpVersion, Learnt, PortKey, Protocol, listen, version};
use crate::{proxy::lane::Lane, telemetry::Denied};

/// A connection of which it is to be found out what it speaks.
pub(in crate::proxy) struct Detecting<'a> {
    declared: Declared,
    port: PortKey,
    lane: &'a Lane,
    began: Instant,
}

/// What came first.
pub(in crate::proxy) enum Raced<T> {
    /// The upstream: the client has said nothing that were HTTP.
    Joined(T),
    /// A client whose requests go their own ways.
    Http(HttpVersion),
}

// === impl Detecting ===

impl<'a> Detecting<'a> {
    pub(in crate::proxy) fn new(declared: Declared, port: PortKey, lane: &'a Lane) -> Self {
        Self {
            declared,
            port,
            lane,
            began: Instant::now(),
        }
    }

    /// What it speaks, where that can be said before an endpoint is dialled. `held` was read of the client before.
    pub(in crate::proxy) async fn before_dialling(
        &self,
        client: &TcpStream,
        held: &[u8],
    ) -> Result<Option<Protocol>, Denied> {
        Ok(match (self.declared, self.lane.shared.spoken.recall(&self.port)) {
            (Declared::Opaque, _) | (Declared::Unknown, Some(Learnt::ServerFirst)) => Some(Protocol::Opaque),
            (Declared::Http, _) => Some(Protocol::Http(version(client, held, self.lane).await?)),
            // Most probably it is the same again; a client that stays silent shows that it is not.
            (Declared::Unknown, Some(Learnt::Http)) => timeout(PATIENCE, self.listen(client, held)).await.ok(),
            (Declared::Unknown, None) => None,
        })
    }

    /// Listens to the client.
    pub(in crate::proxy) async fn listen(&self, client: &TcpStream, held: &[u8]) -> Protocol {
        let protocol = listen(client, held).await;
        match protocol {
            Protocol::Http(_) => self.lane.shared.spoken.learn(self.port.clone(), Learnt::Http),
            Protocol::Opaque => {}
        }
        protocol
    }

    /// Joins the client to an upstream, and listens to it meanwhile, for as long as `listens`.
    pub(in crate::proxy) async fn while_joining<T, E>(
        &self,
        client: &TcpStream,
        held: &[u8],
        listens: &Cell<bool>,
        mut joining: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<Raced<T>, E> {
        let mut listening = pin!(self.listen(client, held));
        loop {
            tokio::select! {
                biased;
                joined = &mut joining => return Ok(Raced::Joined(joined?)),
                protocol = &mut listening, if listens.get() => match protocol {
                    Protocol::Opaque => listens.set(false),
                    Protocol::Http(version) => return Ok(Raced::Http(version)),
                },
            }
        }
    }

    /// Listens to both sides: `spoken` is whether the server has said anything, or has only ended.
    pub(in crate::proxy) async fn first(
        &self,
        client: &TcpStream,
        held: &[u8],
        spoken: impl Future<Output = bool>,
    ) -> Protocol {
        let (listening, spoken) = (pin!(self.listen(client, held)), pin!(spoken));
        tokio::select! {
            biased;
            protocol = listening => protocol,
            has_spoken = spoken => {
                // Later it may be the complaint of a server that has waited for long.
                if has_spoken && self.began.elapsed() < GREETING {
                    self.lane.shared.spoken.learn(self.port.clone(), Learnt::ServerFirst);
                }
                Protocol::Opaque
            }
        }
    }
}

/// How long a client of a port where others have spoken HTTP is waited for.
const PATIENCE: Duration = Duration::from_millis(200);
/// How soon a server speaks that speaks first.
const GREETING: Duration = Duration::from_secs(2);

//! Step five: what the connection speaks.
//!
//! What is declared holds. Else nobody waits for a silent peer: the endpoint is dialled while the client is listened to,
//! and a server that speaks first has something else than HTTP to say. What was learnt of a service's port is remembered,
//! so that no application sees empty connections again and again.

mod detecting;
mod greeting;
mod learnt;
mod named;
mod sniff;

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

pub use self::sniff::{MOST, Sniffed, sniff, version as version_of};
pub(super) use self::{
    detecting::{Detecting, Raced},
    greeting::Greeting,
    learnt::{Learnt, Memory, PortKey},
    named::server_name,
};
use super::{identify::Identified, lane::Lane};
use crate::{
    model::{AppProtocol, Mesh},
    telemetry::Denied,
    tls,
};

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Bytes, of which nothing is to be understood.
    Opaque,
    /// HTTP.
    Http(HttpVersion),
}

/// A version of HTTP, as far as its framing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0 and 1.1.
    One,
    /// HTTP/2, with prior knowledge.
    Two,
}

// === impl HttpVersion ===

impl HttpVersion {
    /// How agents pass its requests on: in the version that the client speaks.
    pub(super) fn between_agents(self) -> tls::Protocol {
        match self {
            Self::One => tls::Protocol::Http1,
            Self::Two => tls::Protocol::Http2,
        }
    }
}

/// What is known of a connection before anybody has spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// It speaks bytes.
    Opaque,
    /// It speaks HTTP; in which version, the client's first bytes say.
    Http,
    /// Nothing.
    Unknown,
}

/// What is declared of the port that a connection goes to. An address that is nobody's in the model gets bytes.
pub(super) fn declared(identified: &Identified<'_>, mesh: &Mesh) -> Declared {
    use crate::model::Destination;
    let destination = identified.arrival.destination.0;
    match &identified.wanted {
        Destination::Service { .. } => {
            of_app_protocol(identified.wanted.service_port().and_then(|port| port.app_protocol))
        }
        Destination::Pod(_) => at(destination, mesh),
        Destination::Unknown => Declared::Opaque,
    }
}

/// What is declared of an endpoint's own port.
pub(super) fn at(address: SocketAddr, mesh: &Mesh) -> Declared {
    of_app_protocol(mesh.app_protocol_at(address))
}

fn of_app_protocol(declared: Option<AppProtocol>) -> Declared {
    match declared.map(AppProtocol::is_http) {
        Some(false) => Declared::Opaque,
        Some(true) => Declared::Http,
        None => Declared::Unknown,
    }
}

/// Listens to a client of which nothing is known until its first bytes tell, without taking them from the socket; `held`
/// came before them. A client that has ended, or broken, speaks bytes.
async fn listen(stream: &TcpStream, held: &[u8]) -> Protocol {
    let mut peeked = Peeked::new(held);
    let mut begun: Option<Instant> = None;
    loop {
        match sniff(peeked.bytes()) {
            Sniffed::Http(version) => return Protocol::Http(version),
            Sniffed::Opaque => return Protocol::Opaque,
            Sniffed::Unclear => {}
        }
        let more = if peeked.bytes().is_empty() {
            Ok(peeked.more(stream).await)
        } else {
            let since = *begun.get_or_insert_with(Instant::now);
            timeout_at(since + PATIENCE, peeked.more(stream)).await
        };
        match more {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) | Err(_) => return Protocol::Opaque,
        }
    }
}

/// Listens to a client that must speak HTTP until its version is clear, as [`listen`] does.
pub(super) async fn version(stream: &TcpStream, held: &[u8], lane: &Lane) -> Result<HttpVersion, Denied> {
    let mut greeting = Greeting::new(lane);
    let mut peeked = Peeked::new(held);
    loop {
        if let Some(version) = version_of(peeked.bytes()) {
            return Ok(version);
        }
        let has_begun = !peeked.bytes().is_empty();
        match greeting.more(has_begun, peeked.more(stream)).await? {
            Some(Ok(true)) => {}
            Some(Ok(false) | Err(_)) | None => return Ok(HttpVersion::One),
        }
    }
}

/// Waits until a server says something, or only ends; what it says stays in its socket.
pub(super) async fn has_spoken(server: &TcpStream) -> bool {
    server.peek(&mut [0]).await.is_ok_and(|length| length > 0)
}

/// The first bytes of a client, which stay in its socket.
struct Peeked {
    bytes: [u8; MOST],
    held: usize,
    length: usize,
}

// === impl Peeked ===

impl Peeked {
    fn new(held: &[u8]) -> Self {
        let mut bytes = [0; MOST];
        let length = held.len().min(bytes.len());
        bytes[..length].copy_from_slice(&held[..length]);
        Self {
            bytes,
            held: length,
            length,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Waits for more bytes; false at the client's end.
    async fn more(&mut self, stream: &TcpStream) -> io::Result<bool> {
        if self.length > self.held {
            // The bytes that are there make the socket readable: only time brings more.
            sleep(PAUSE).await;
        }
        let length = stream.peek(&mut self.bytes[self.held..]).await?;
        self.length = self.held + length;
        Ok(length > 0)
    }
}

/// How long a client may leave it open what its first bytes begin.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a client may take for the line that says HTTP/2; what stands there is no request of HTTP/1.
const LONGEST_PREFACE: Duration = Duration::from_secs(10);
/// How often is looked whether more has come.
const PAUSE: Duration = Duration::from_millis(2);

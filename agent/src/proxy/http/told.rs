//! What an agent says of its client to the agent of the upstream: the header of a stream, as one header of a request.
//!
//! It is said with the first request of a connection, and again where it has changed. It goes no further than that agent.

use std::{cell::RefCell, net::SocketAddr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::leg::Leg;
use crate::{
    model::ObjectName,
    proxy::{identify::RemotePod, wire::Header},
    telemetry::Denied,
    tls::Peer,
};

/// What was said last on a connection between agents.
#[derive(Debug, Default)]
pub(super) struct Heard(RefCell<Option<(HeaderValue, Told)>>);

/// Who asks, and for which service.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) client: Arc<RemotePod>,
    pub(super) service: Option<ObjectName>,
}

/// The header's value.
pub(super) fn tell(header: &Header) -> Option<HeaderValue> {
    HeaderValue::try_from(BASE64_STANDARD_NO_PAD.encode(header.body())).ok()
}

/// What the header's value tells; none where it is no agent's.
pub(super) fn read(value: &HeaderValue) -> Option<Header> {
    let body = BASE64_STANDARD_NO_PAD.decode(value.as_bytes()).ok()?;
    Header::decode(&body).ok()
}

/// Says it, unless it was said last on this connection. Where requests go side by side none is the last, and HTTP/2 sends
/// what it has sent before in a byte.
pub(super) fn say(headers: &mut HeaderMap, told: &HeaderValue, leg: &Leg) {
    let mut last = leg.line.told.borrow_mut();
    if leg.is_shared() || last.as_ref() != Some(told) {
        headers.insert(STREAM, told.clone());
        *last = Some(told.clone());
    }
}

// === impl Heard ===

impl Heard {
    /// What holds for a request. The peer's agent speaks for pods of the certificate's namespace only.
    pub(super) fn hear(&self, headers: &HeaderMap, peer: &Peer, address: SocketAddr) -> Result<Told, Denied> {
        let mut last = self.0.borrow_mut();
        match (headers.get(STREAM), &*last) {
            (None, Some((_, told))) => return Ok(told.clone()),
            (Some(value), Some((said, told))) if value == said => return Ok(told.clone()),
            (None, None) => return Err(Denied::ProtocolViolation),
            (Some(_), _) => {}
        }
        let value = headers.get(STREAM).ok_or(Denied::ProtocolViolation)?;
        let header = read(value).ok_or(Denied::ProtocolViolation)?;
        let service = header.service.as_ref().map(|(name, _)| name.clone());
        let client = RemotePod::new(header, peer, address)?;
        let told = Told {
            client: Arc::new(client),
            service,
        };
        *last = Some((value.clone(), told.clone()));
        Ok(told)
    }
}

/// The header.
const STREAM: HeaderName = HeaderName::from_static("weft-stream");

//! What a client says of a stream before its first byte.

use std::collections::BTreeMap;

use prost::Message as _;

use super::{HEAD, Kind, LONGEST_HEADER, frame_head};
use crate::model::ObjectName;

/// What a stream is for, and which pod of the certificate's service account opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The service that the client asked for, with its port; none where it dialled the pod itself.
    pub service: Option<(ObjectName, u16)>,
    /// The client's pod.
    pub source: ObjectName,
    /// The labels of that pod.
    pub labels: BTreeMap<String, String>,
    /// The trace of which the stream is a part, as `traceparent` (W3C Trace Context) writes it.
    pub trace: Option<String>,
}

/// Why a body is not a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// It is not the protobuf message.
    #[error("the header cannot be decoded")]
    Message(#[from] prost::DecodeError),
    /// A field holds what it may not.
    #[error("the header's {field} is {value:?}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

/// The message; numbers of fields are never used again.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Written {
    #[prost(string, tag = "1")]
    service_namespace: String,
    #[prost(string, tag = "2")]
    service_name: String,
    #[prost(uint32, tag = "3")]
    service_port: u32,
    #[prost(string, tag = "4")]
    pod_namespace: String,
    #[prost(string, tag = "5")]
    pod_name: String,
    #[prost(btree_map = "string, string", tag = "6")]
    labels: BTreeMap<String, String>,
    #[prost(string, tag = "7")]
    trace: String,
}

// === impl Header ===

impl Header {
    /// Appends the header's frame.
    ///
    /// Labels that make it too long are left out, all of them: whoever asks for one of them at the other end then denies.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let written = self.written();
        out.reserve(HEAD + written.encoded_len());
        out.extend_from_slice(&frame_head(Kind::Header, written.encoded_len()));
        written.encode_raw(out);
    }

    /// The header's body, as [`Self::encode`] frames it.
    pub fn body(&self) -> Vec<u8> {
        self.written().encode_to_vec()
    }

    fn written(&self) -> Written {
        let (service, port) = self
            .service
            .as_ref()
            .map_or((None, 0), |(name, port)| (Some(name), *port));
        let mut written = Written {
            service_namespace: service.map(|name| name.namespace.to_string()).unwrap_or_default(),
            service_name: service.map(|name| name.name.to_string()).unwrap_or_default(),
            service_port: port.into(),
            pod_namespace: self.source.namespace.to_string(),
            pod_name: self.source.name.to_string(),
            labels: self.labels.clone(),
            trace: self.trace.clone().unwrap_or_default(),
        };
        if written.encoded_len() > LONGEST_HEADER {
            written.labels.clear();
        }
        written
    }

    /// Reads a header's body.
    pub fn decode(body: &[u8]) -> Result<Self, InvalidHeader> {
        let Written {
            service_namespace,
            service_name,
            service_port,
            pod_namespace,
            pod_name,
            labels,
            trace,
        } = Written::decode(body)?;
        let service = if service_name.is_empty() && service_namespace.is_empty() {
            None
        } else {
            let port = u16::try_from(service_port).ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| InvalidHeader::field("service port", &service_port.to_string()))?;
            Some((object("service", &service_namespace, &service_name)?, port))
        };
        let trace = Some(trace).filter(|trace| !trace.is_empty());
        if let Some(trace) = trace.as_deref().filter(|trace| !is_printable(trace)) {
            return Err(InvalidHeader::field("trace", trace));
        }
        let unprintable = labels
            .iter()
            .flat_map(|(key, value)| [key, value])
            .find(|text| !is_printable(text));
        if let Some(text) = unprintable {
            return Err(InvalidHeader::field("label", text));
        }
        Ok(Self {
            service,
            source: object("pod", &pod_namespace, &pod_name)?,
            labels,
            trace,
        })
    }
}

// === impl InvalidHeader ===

impl InvalidHeader {
    fn field(field: &'static str, value: &str) -> Self {
        Self::Field {
            field,
            value: value.chars().take(MOST_SHOWN).collect(),
        }
    }
}

/// Names land in logs and tables.
fn object(field: &'static str, namespace: &str, name: &str) -> Result<ObjectName, InvalidHeader> {
    let wrong = [namespace, name].into_iter().find(|part| !is_name(part));
    wrong.map_or_else(
        || Ok(ObjectName::new(namespace, name)),
        |part| Err(InvalidHeader::field(field, part)),
    )
}

/// RFC 1123, as Kubernetes names its objects: at most 253 lower case letters, digits, dashes and dots.
fn is_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// How much of a wrong value an error shows.
const MOST_SHOWN: usize = 64;

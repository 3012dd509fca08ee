//! What agents and their CA say to each other, as gRPC carries it: `weft.ca.v1.Certificates`.
//!
//! The field numbers are a stable interface: fields are only ever added, so that both sides may be one version apart.
//!
//! ```proto
//! service Certificates { rpc Attend(stream Word) returns (stream Answer); }
//! ```
//!
//! The agent's token stands in the metadata: `authorization: Bearer weft1.…`, or a service account token there and the node
//! in `weft-node`.

use std::time::{Duration, UNIX_EPOCH};

use super::{super::AuthorityId, Ask as Asked, Bundle as Believed, Outcome as Came};
use crate::model::{ObjectName, PodUid};

/// What an agent says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Word {
    /// The version of the bundle that it has taken.
    #[prost(uint64, optional, tag = "1")]
    pub known: Option<u64>,
    /// The certificates that it wants.
    #[prost(message, repeated, tag = "2")]
    pub asks: Vec<Ask>,
}

/// A certificate that is asked for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ask {
    /// The pod's UID.
    #[prost(string, tag = "1")]
    pub uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The pod's name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The pod's service account.
    #[prost(string, tag = "4")]
    pub service_account: String,
    /// The pod's addresses, as text.
    #[prost(string, repeated, tag = "5")]
    pub ips: Vec<String>,
    /// The request (PKCS #10, DER).
    #[prost(bytes = "vec", tag = "6")]
    pub request: Vec<u8>,
}

/// What a CA says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    /// Its clock, in milliseconds since 1970.
    #[prost(uint64, tag = "1")]
    pub time: u64,
    /// Whom to believe, where that has changed.
    #[prost(message, optional, tag = "2")]
    pub bundle: Option<Bundle>,
    /// What became of what was asked for.
    #[prost(message, repeated, tag = "3")]
    pub outcomes: Vec<Outcome>,
}

/// Whom to believe.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bundle {
    /// Counts up with each change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// The trust domain.
    #[prost(string, tag = "2")]
    pub trust_domain: String,
    /// The random number of the mesh, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub mesh: Vec<u8>,
    /// The root certificates (DER).
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub roots: Vec<Vec<u8>>,
    /// The key that signs.
    #[prost(bytes = "vec", tag = "5")]
    pub signer: Vec<u8>,
    /// Who is refused, as `weft ca deny` writes it.
    #[prost(string, repeated, tag = "6")]
    pub denied: Vec<String>,
    /// The intermediate authorities that may sign under the roots (DER).
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub intermediates: Vec<Vec<u8>>,
}

/// What became of one request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    /// The pod's UID.
    #[prost(string, tag = "1")]
    pub uid: String,
    /// The certificate and those that lead to a root (DER).
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub chain: Vec<Vec<u8>>,
    /// Why there is none.
    #[prost(string, optional, tag = "3")]
    pub refusal: Option<String>,
}

/// A message that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Senseless {
    /// An address is none.
    #[error("{0:?} is no IP address")]
    Address(String),
    /// The number of the mesh has another length.
    #[error("the number of a mesh has 16 bytes")]
    Mesh,
    /// A denial names nothing.
    #[error("{0:?} is no denial")]
    Denial(String),
}

// === impl Word ===

impl From<super::Word> for Word {
    fn from(word: super::Word) -> Self {
        match word {
            super::Word::Known(version) => Self {
                known: Some(version),
                asks: Vec::new(),
            },
            super::Word::Asks(asks) => Self {
                known: None,
                asks: asks.into_iter().map(Ask::from).collect(),
            },
        }
    }
}

impl Word {
    /// The words in it.
    pub(super) fn read(self) -> Result<Vec<super::Word>, Senseless> {
        let Self { known, asks } = self;
        let asks: Vec<Asked> = asks.into_iter().map(Ask::read).collect::<Result<_, _>>()?;
        let asks = (!asks.is_empty()).then_some(super::Word::Asks(asks));
        Ok(known.map(super::Word::Known).into_iter().chain(asks).collect())
    }
}

// === impl Ask ===

impl From<Asked> for Ask {
    fn from(ask: Asked) -> Self {
        Self {
            uid: ask.uid.to_string(),
            namespace: ask.pod.namespace.to_string(),
            name: ask.pod.name.to_string(),
            service_account: ask.service_account.to_string(),
            ips: ask.ips.iter().map(ToString::to_string).collect(),
            request: ask.request,
        }
    }
}

impl Ask {
    fn read(self) -> Result<Asked, Senseless> {
        let Self {
            uid,
            namespace,
            name,
            service_account,
            ips,
            request,
        } = self;
        let ips = ips
            .into_iter()
            .map(|ip| ip.parse().map_err(|_not_one| Senseless::Address(ip)));
        Ok(Asked {
            uid: PodUid::new(uid),
            pod: ObjectName::new(namespace, name),
            service_account: service_account.into(),
            ips: ips.collect::<Result<_, _>>()?,
            request,
        })
    }
}

// === impl Answer ===

impl From<super::Answer> for Answer {
    fn from(answer: super::Answer) -> Self {
        let since = answer.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            bundle: answer.bundle.map(Bundle::from),
            outcomes: answer.outcomes.into_iter().map(Outcome::from).collect(),
        }
    }
}

impl Answer {
    pub(super) fn read(self) -> Result<super::Answer, Senseless> {
        let Self { time, bundle, outcomes } = self;
        Ok(super::Answer {
            // A time beyond all times is a clock that is far ahead.
            time: UNIX_EPOCH + Duration::from_millis(time.min(LATEST)),
            bundle: bundle.map(Bundle::read).transpose()?,
            outcomes: outcomes.into_iter().map(Outcome::read).collect(),
        })
    }
}

// === impl Bundle ===

impl From<Believed> for Bundle {
    fn from(bundle: Believed) -> Self {
        Self {
            version: bundle.version,
            trust_domain: bundle.trust_domain.to_string(),
            mesh: bundle.mesh.to_vec(),
            roots: bundle.roots,
            signer: bundle.signer.bytes().to_vec(),
            denied: bundle.denied.iter().map(ToString::to_string).collect(),
            intermediates: bundle.intermediates,
        }
    }
}

impl Bundle {
    fn read(self) -> Result<Believed, Senseless> {
        let Self {
            version,
            trust_domain,
            mesh,
            roots,
            signer,
            denied,
            intermediates,
        } = self;
        let denied = denied
            .into_iter()
            .map(|denial| denial.parse().map_err(|_invalid| Senseless::Denial(denial)));
        Ok(Believed {
            version,
            trust_domain: trust_domain.into(),
            mesh: mesh.try_into().map_err(|_length| Senseless::Mesh)?,
            roots,
            intermediates,
            signer: AuthorityId::new(&signer),
            denied: denied.collect::<Result<_, _>>()?,
        })
    }
}

// === impl Outcome ===

impl From<Came> for Outcome {
    fn from(outcome: Came) -> Self {
        let uid = outcome.uid.to_string();
        match outcome.issued {
            Ok(chain) => Self {
                uid,
                chain,
                refusal: None,
            },
            Err(refusal) => Self {
                uid,
                chain: Vec::new(),
                refusal: Some(refusal),
            },
        }
    }
}

impl Outcome {
    fn read(self) -> Came {
        let Self { uid, chain, refusal } = self;
        Came {
            uid: PodUid::new(uid),
            issued: refusal.map_or(Ok(chain), Err),
        }
    }
}

/// The year 9999, in milliseconds.
const LATEST: u64 = 253_370_764_800_000;

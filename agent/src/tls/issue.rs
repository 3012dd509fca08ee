//! Getting certificates for this node's pods, and keeping them: asked for in batches over one stream per agent.
//!
//! ```text
//! Mesh ──▶ Plan (who, when) ──asks──▶ Ca (embedded, or gRPC) ──answers──▶ Identities
//! ```
//!
//! Keys are made here and stay here: a CA sees a request that the key has signed, never the key.

mod embedded;
mod grpc;
mod keeper;
pub mod message;
mod plan;
mod proof;
#[cfg(test)]
mod tests;

use std::{future::Future, net::IpAddr, sync::Arc, time::SystemTime};

use tokio::sync::mpsc;

pub use embedded::Embedded;
pub use grpc::{Attendee, Credential, NotAdmitted, Reception, Remote, serve};
pub use keeper::{IssueStatus, Keeper};
pub use proof::{PodToken, Proof};

use super::{AuthorityId, DenyList};
use crate::model::{ObjectName, PodUid};

/// Who signs certificates.
pub trait Ca: Send + Sync + 'static {
    /// Opens a stream to it, which lasts until either side ends it.
    fn attend(&self) -> impl Future<Output = Result<Attendance, CaError>> + Send;
}

/// A stream to a CA.
#[derive(Debug)]
pub struct Attendance {
    /// What the agent says.
    pub say: mpsc::Sender<Word>,
    /// What the CA says; its end is the stream's.
    pub answers: mpsc::Receiver<Answer>,
}

/// What an agent says to a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has taken this version of the bundle.
    Known(u64),
    /// It wants certificates.
    Asks(Vec<Ask>),
}

/// A certificate that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace and name.
    pub pod: ObjectName,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its addresses, as far as they are known.
    pub ips: Vec<IpAddr>,
    /// The request that its key has signed (PKCS #10, DER).
    pub request: Vec<u8>,
}

/// What a CA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The CA's clock.
    pub time: SystemTime,
    /// Whom to believe from here on, where that has changed.
    pub bundle: Option<Bundle>,
    /// What became of what was asked for.
    pub outcomes: Vec<Outcome>,
}

/// Whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Counts up with each change.
    pub version: u64,
    /// The trust domain.
    pub trust_domain: Arc<str>,
    /// The random number of the mesh.
    pub mesh: [u8; 16],
    /// The root certificates (DER).
    pub roots: Vec<Vec<u8>>,
    /// The intermediate authorities (DER) that may sign under those roots: what others under them have signed is refused.
    pub intermediates: Vec<Vec<u8>>,
    /// The root that signs: certificates of others are to be renewed.
    pub signer: AuthorityId,
    /// Who is refused.
    pub denied: DenyList,
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The pod.
    pub uid: PodUid,
    /// Its certificate and those that lead to a root (DER), or why there is none.
    pub issued: Result<Vec<Vec<u8>>, String>,
}

/// Why a CA cannot be attended.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Its token cannot be read.
    #[error("the token of the CA cannot be used")]
    Token(#[from] super::InvalidToken),
    /// The token or the bundle cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The roots by which the CA is to be known cannot be used.
    #[error("the bundle of the CA cannot be used")]
    Bundle(#[from] super::InvalidBundle),
    /// It cannot be reached.
    #[error("cannot connect to the CA at {address}")]
    Connect {
        /// Where it should be.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// It does not prove to be the one that the token or the bundle names.
    #[error("the CA does not prove to be the one of this agent's token or bundle")]
    Tls(#[from] super::TlsError),
    /// It speaks no HTTP/2.
    #[error("the stream to the CA cannot be opened")]
    Http(#[from] hyper::Error),
    /// It refuses the agent.
    #[error("the CA refuses the agent: {0}")]
    Refused(String),
    /// It cannot find out at this moment whether it may let the agent attend.
    #[error("the CA cannot let the agent attend at this moment: {0}")]
    Unavailable(String),
}

/// How many words and answers may wait.
pub(super) const AHEAD: usize = 16;

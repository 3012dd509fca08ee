//! Why there is no TLS connection, or no longer one.

use std::{io, net::IpAddr, sync::Arc, time::SystemTime};

use aws_lc_rs::error::Unspecified;

use super::{BadRecord, Denial, InvalidCertificate};
use crate::{model::PodUid, telemetry::Denied};

/// Why a handshake or a record failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The pod's own certificate is not valid at this moment.
    #[error("the certificate of pod {uid} is not valid at this moment")]
    NoCertificate {
        /// The pod.
        uid: PodUid,
    },
    /// The pod that is to be dialled has a name that no certificate can bear.
    #[error("no certificate can name the pod {uid}")]
    Unnameable {
        /// The pod.
        uid: PodUid,
    },
    /// Reading or writing failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[from] io::Error),
    /// The peer left before the handshake was done.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The peer's handshake takes more bytes than any certificate needs.
    #[error("the peer's TLS handshake has no end")]
    Endless,
    /// The peer sends data within its handshake, or ends it.
    #[error("the peer does not wait for the end of the TLS handshake")]
    Hasty,
    /// A record of the peer is refused.
    #[error("a TLS record is refused")]
    Record(#[from] BadRecord),
    /// The keys of the connection cannot be used.
    #[error("the keys of the connection cannot be used")]
    Keys,
    /// The peer speaks TLS, but no protocol of ours.
    #[error("the peer offers no protocol of ours")]
    NoProtocol,
    /// The peer's certificate is refused by TLS itself: chain, time, name, usage.
    #[error("the peer's certificate is refused")]
    Unverified(#[source] TlsCause),
    /// The peer's certificate is refused by the mesh's rules.
    #[error("the peer is refused")]
    Refused(#[from] Refused),
    /// TLS failed otherwise.
    #[error("TLS failed")]
    Failed(#[source] TlsCause),
}

/// Why the mesh refuses a certificate whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not that of a pod.
    #[error("it is not the certificate of a pod")]
    Invalid(#[from] InvalidCertificate),
    /// It is of another mesh.
    #[error("its trust domain is {found}")]
    TrustDomain {
        /// The peer's trust domain.
        found: Arc<str>,
    },
    /// Its root has left the bundle.
    #[error("its root is not trusted")]
    Root,
    /// It is over, or not yet begun: a ticket of it is.
    #[error("it is valid until {}", humantime::format_rfc3339_seconds(*.not_after))]
    Expired {
        /// Its end.
        not_after: SystemTime,
    },
    /// The deny-list names it.
    #[error("the deny-list has {0}")]
    Denied(Denial),
    /// Another pod than the dialled one has answered.
    #[error("pod {found} answers for pod {dialled}")]
    Pod {
        /// The dialled pod.
        dialled: PodUid,
        /// The pod that answered.
        found: PodUid,
    },
    /// The pod that answers has not the dialled address.
    #[error("pod {found} has not the address {dialled}")]
    Address {
        /// The dialled address.
        dialled: IpAddr,
        /// The pod that answered.
        found: PodUid,
    },
    /// The pod that answers is of another namespace than its slice.
    #[error("a pod of namespace {found} answers for one of {dialled}")]
    Namespace {
        /// The namespace of the slice.
        dialled: Arc<str>,
        /// The namespace of the pod that answered.
        found: Arc<str>,
    },
}

/// What TLS itself says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsCause(pub(super) rustls::Error);

// === impl TlsError ===

impl TlsError {
    /// Whether the connection broke off in the middle of the handshake: nobody has refused anything.
    pub fn broke_off(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Closed)
    }

    /// The reason as log, metric and `weft debug` name it.
    pub fn denied(&self) -> Denied {
        match self {
            Self::NoCertificate { .. } => Denied::NoCertificate,
            Self::Refused(Refused::Denied(_)) => Denied::IdentityDenied,
            Self::Unnameable { .. } | Self::Unverified(_) | Self::Refused(_) => Denied::PeerNotVerified,
            Self::Io(_)
            | Self::Closed
            | Self::Endless
            | Self::Hasty
            | Self::Record(_)
            | Self::Keys
            | Self::NoProtocol
            | Self::Failed(_) => Denied::TlsFailed,
        }
    }
}

impl TlsError {
    /// What a peer has told by an alert.
    pub(super) fn alerted(code: u8) -> Self {
        Self::Failed(TlsCause(rustls::Error::AlertReceived(code.into())))
    }

    /// The alert that tells the peer which record of it is refused (RFC 8446, 6).
    pub(super) fn alert(&self) -> Option<u8> {
        let Self::Record(bad) = self else {
            return None;
        };
        Some(match bad {
            BadRecord::Plain | BadRecord::Unexpected => UNEXPECTED_MESSAGE,
            BadRecord::TooLong => RECORD_OVERFLOW,
            BadRecord::Undecryptable => BAD_RECORD_MAC,
            BadRecord::Unreadable => DECODE_ERROR,
        })
    }
}

impl From<Unspecified> for TlsError {
    fn from(Unspecified: Unspecified) -> Self {
        Self::Keys
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match &error {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
                // What the verifiers of this room refuse comes back through rustls.
                match other.0.downcast_ref::<Refused>() {
                    Some(refused) => Self::Refused(refused.clone()),
                    None => Self::Unverified(TlsCause(error)),
                }
            }
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Self::Unverified(TlsCause(error))
            }
            // rustls' own enum, and not one of ours: the rest is all one.
            _ => Self::Failed(TlsCause(error)),
        }
    }
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(rustls::CertificateError::Other(rustls::OtherError(Arc::new(refused))))
    }
}

const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const DECODE_ERROR: u8 = 50;

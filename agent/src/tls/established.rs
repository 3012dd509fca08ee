//! What a handshake has brought.

use std::{fmt, sync::Arc, time::SystemTime};

use super::{AuthorityId, Fingerprint, Protocol, Records, Serial, certificate::PodCertificate};
use crate::model::{Identity, PodUid};

/// A connection after its handshake.
pub struct Established {
    /// Its records from here on.
    pub records: Records,
    /// Who is at the other end.
    pub peer: Peer,
    /// What it carries.
    pub protocol: Protocol,
    /// Ciphertext that was read beyond the handshake: the first for [`Records::open`].
    pub unread: Vec<u8>,
    /// The last flight, to be sent before or together with the first records.
    pub unsent: Vec<u8>,
    /// Whether a ticket has spared the full handshake.
    pub resumed: bool,
}

/// Who is at the other end, proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who the pod is.
    pub identity: Identity,
    /// Which pod it is.
    pub uid: PodUid,
    /// The node that it runs on, where its CA says so.
    pub node: Option<Arc<str>>,
    /// The serial number of its certificate.
    pub serial: Serial,
    /// The key that has signed it.
    pub authority: AuthorityId,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// Until when it is valid.
    pub not_after: SystemTime,
}

// === impl Peer ===

impl Peer {
    /// How others see the pod of these credentials.
    #[cfg(test)]
    pub(crate) fn of_credentials(credentials: &super::Credentials) -> Self {
        Self::of(&credentials.issued().certificate)
    }

    pub(super) fn of(certificate: &PodCertificate) -> Self {
        let PodCertificate {
            identity,
            uid,
            node,
            serial,
            authority,
            fingerprint,
            not_after,
            ..
        } = certificate.clone();
        Self {
            identity,
            uid,
            node,
            serial,
            authority,
            fingerprint,
            not_after,
        }
    }
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("peer", &self.peer)
            .field("protocol", &self.protocol)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

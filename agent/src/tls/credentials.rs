//! One pod's certificate with all that TLS derives from it.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    pki_types::CertificateDer,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use tokio::sync::watch;

use super::{
    AuthorityId, Fingerprint, InvalidCertificate, Peer, Refused, Serial, TlsCause, TlsError,
    certificate::PodCertificate,
    key::{KeyError, PodKey},
    protocol::Protocol,
    provider::provider,
    tickets::Tickets,
    trust::Trust,
};
use crate::model::{Identity, PodUid};

/// A certificate and its key, as they were issued.
#[derive(Clone)]
pub(super) struct Issued {
    certified: Arc<CertifiedKey>,
    pub(super) certificate: Arc<PodCertificate>,
}

/// One pod's certificate with what is derived from it.
///
/// Never changed: a renewal, new roots and a new deny-list make new ones, with session stores and ticket keys that know
/// nothing of the old.
pub struct Credentials {
    issued: Issued,
    trust: watch::Receiver<Option<Arc<Trust>>>,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
}

/// Why what a CA has sent is not a pod's certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("there is no certificate")]
    Missing,
    #[error("there are no roots yet")]
    NoRoots,
    #[error("the certificate is not that of a pod")]
    Invalid(#[from] InvalidCertificate),
    #[error("the certificate has another key")]
    OtherKey(#[source] TlsCause),
    #[error("TLS does not take the certificate")]
    Tls(#[source] TlsCause),
    #[error(transparent)]
    Key(#[from] KeyError),
}

// === impl Issued ===

impl Issued {
    /// Takes a certificate that no CA of ours would sign, in the name of a good one.
    #[cfg(test)]
    pub(super) fn forged(key: &PodKey, der: Vec<u8>, like: &Self) -> Self {
        let signer = key.signer().expect("a signer");
        Self {
            certified: Arc::new(CertifiedKey::new(vec![der.into()], signer)),
            certificate: Arc::clone(&like.certificate),
        }
    }

    /// Joins a key with what a CA has signed for it: the certificate, then those that lead to the root.
    pub(super) fn new(key: &PodKey, chain: Vec<Vec<u8>>) -> Result<Self, Unusable> {
        let leaf = chain.first().ok_or(Unusable::Missing)?;
        let certificate = Arc::new(PodCertificate::read(leaf)?);
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let certified = CertifiedKey::new(chain, key.signer()?);
        certified
            .keys_match()
            .map_err(|error| Unusable::OtherKey(TlsCause(error)))?;
        Ok(Self {
            certified: Arc::new(certified),
            certificate,
        })
    }
}

// === impl Credentials ===

impl Credentials {
    /// Derives all that TLS needs, for the trust of this moment.
    pub(super) fn new(issued: Issued, trust: watch::Receiver<Option<Arc<Trust>>>) -> Result<Self, Unusable> {
        let now = trust.borrow().clone().ok_or(Unusable::NoRoots)?;
        Ok(Self {
            client: Arc::new(client(&issued, &now)?),
            server: Arc::new(server(&issued, &now)?),
            issued,
            trust,
        })
    }

    /// The same for one connection that is to be nobody's successor: it offers no ticket, and keeps none.
    pub fn forgetful(&self) -> Self {
        let mut client = ClientConfig::clone(&self.client);
        client.resumption = Resumption::disabled();
        Self {
            client: Arc::new(client),
            server: Arc::clone(&self.server),
            issued: self.issued.clone(),
            trust: self.trust.clone(),
        }
    }

    /// Who the pod is.
    pub fn identity(&self) -> &Identity {
        &self.issued.certificate.identity
    }

    /// Which pod it is.
    pub fn uid(&self) -> &PodUid {
        &self.issued.certificate.uid
    }

    /// The pod as those see it to whom it proves itself.
    pub fn as_peer(&self) -> Peer {
        Peer::of(&self.issued.certificate)
    }

    /// The addresses that the certificate names.
    pub fn ips(&self) -> &[IpAddr] {
        &self.issued.certificate.ips
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> &Serial {
        &self.issued.certificate.serial
    }

    /// The certificate itself.
    pub fn fingerprint(&self) -> Fingerprint {
        self.issued.certificate.fingerprint
    }

    /// The key of the root that has signed it.
    pub fn authority(&self) -> &AuthorityId {
        &self.issued.certificate.authority
    }

    /// From when on it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.issued.certificate.not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> SystemTime {
        self.issued.certificate.not_after
    }

    /// Whether it is valid at a time.
    pub fn valid_at(&self, now: SystemTime) -> bool {
        self.issued.certificate.valid_at(now)
    }

    /// How long it is valid from its issue.
    pub fn life(&self) -> Duration {
        self.not_after().duration_since(self.not_before()).unwrap_or_default()
    }

    pub(super) fn issued(&self) -> &Issued {
        &self.issued
    }

    /// Judges a peer by the trust of this moment, which may be newer than these credentials.
    pub(super) fn judge(&self, peer: &PodCertificate) -> Result<(), Refused> {
        let trust = self.trust.borrow();
        let trust = trust.as_ref().ok_or(Refused::Root)?;
        trust.rules().judge(peer, SystemTime::now())
    }

    /// Refuses to shake hands with a certificate that is over.
    pub(super) fn check(&self) -> Result<(), TlsError> {
        if self.valid_at(SystemTime::now()) {
            Ok(())
        } else {
            Err(TlsError::NoCertificate {
                uid: self.uid().clone(),
            })
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", self.identity())
            .field("uid", self.uid())
            .field("serial", self.serial())
            .finish_non_exhaustive()
    }
}

fn client(issued: &Issued, trust: &Trust) -> Result<ClientConfig, Unusable> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| Unusable::Tls(TlsCause(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&trust.servers))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&issued.certified))));
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    // The name is for the verification; the server needs none, and nobody between the two.
    config.enable_sni = false;
    config.enable_secret_extraction = true;
    Ok(config)
}

fn server(issued: &Issued, trust: &Trust) -> Result<ServerConfig, Unusable> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| Unusable::Tls(TlsCause(error)))?
        .with_client_cert_verifier(Arc::clone(&trust.clients))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&issued.certified))));
    config.alpn_protocols = Protocol::ALL.map(|protocol| protocol.alpn().to_vec()).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::new(Tickets::new(issued.certificate.not_after).map_err(Unusable::Tls)?);
    config.send_tls13_tickets = 1;
    config.enable_secret_extraction = true;
    Ok(config)
}

/// How many sessions a pod's client side keeps; rustls reserves eight for each server.
const SESSIONS: usize = 8 * 128;

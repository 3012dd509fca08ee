//! A certificate authority: a root and its key, and the certificates of pods that it signs.
//!
//! What may be signed for whom is not decided here.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{error::Unspecified, rand};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{
    AuthorityId, InvalidCertificate, Serial,
    certificate::{AuthorityCertificate, pod_name},
    provider::provider,
};
use crate::model::{Identity, PodUid};

/// A root certificate with its key, or an intermediate one with what leads to a root.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate first (DER).
    chain: Vec<Vec<u8>>,
    id: AuthorityId,
    kind: AuthorityKind,
    not_after: SystemTime,
}

/// Whether those who verify know an authority by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityKind {
    /// They have its certificate.
    Root,
    /// They must be sent its certificate.
    Intermediate,
}

/// What a certificate is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who the pod is.
    pub identity: Identity,
    /// Which pod it is.
    pub uid: PodUid,
    /// The pod's addresses, as far as they are known and its own.
    pub ips: Vec<IpAddr>,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The first moment after.
    pub not_after: SystemTime,
}

/// A public key whose owner has proved to hold the private one.
pub struct ProvenKey(rcgen::PublicKey);

/// A certificate that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The certificate, and those that lead to a root (DER).
    pub chain: Vec<Vec<u8>>,
    /// Its serial number.
    pub serial: Serial,
}

/// Why a root or a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key of a root cannot be made or read.
    #[error("the key of the root cannot be had")]
    Key(#[source] rcgen::Error),
    /// The root cannot be read.
    #[error("the root certificate cannot be read")]
    Root(#[from] InvalidCertificate),
    /// There is no certificate.
    #[error("there is no certificate of the authority")]
    Missing,
    /// A certificate is not one of an authority, or its key is another one.
    #[error("the certificate is not one of an authority with this key")]
    OtherKey,
    /// A certificate cannot be made.
    #[error("the certificate cannot be made")]
    Sign(#[source] rcgen::Error),
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Why a request for a certificate is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRequest {
    /// It is none, or not signed by the key that it brings.
    #[error("the request cannot be read, or is not signed by its own key")]
    Unproven(#[source] rcgen::Error),
    /// The key is not one on P-256.
    #[error("the key is not an ECDSA key on P-256")]
    Algorithm,
}

// === impl Authority ===

impl Authority {
    /// Makes a root with a new key.
    pub fn create(trust_domain: &str, validity: Validity) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Key)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, trust_domain);
        name.push(DnType::CommonName, "Weft root");
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
        let root = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        Self::new(vec![root.der().to_vec()], key, AuthorityKind::Root)
    }

    /// Takes a root and its key (PKCS #8, DER) as they were kept.
    pub fn load(root: Vec<u8>, key: &[u8]) -> Result<Self, AuthorityError> {
        let key = KeyPair::try_from(key).map_err(AuthorityError::Key)?;
        Self::new(vec![root], key, AuthorityKind::Root)
    }

    /// Takes an intermediate authority as other programs keep it: its certificate and those that lead to a root (DER), and
    /// its key (PEM).
    pub fn intermediate(chain: Vec<Vec<u8>>, key: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Key)?;
        Self::new(chain, key, AuthorityKind::Intermediate)
    }

    fn new(chain: Vec<Vec<u8>>, key: KeyPair, kind: AuthorityKind) -> Result<Self, AuthorityError> {
        let certificate = chain.first().ok_or(AuthorityError::Missing)?;
        let AuthorityCertificate {
            id,
            key: public,
            not_after,
        } = AuthorityCertificate::read(certificate)?;
        if public != key.public_key_raw() {
            return Err(AuthorityError::OtherKey);
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate.as_slice().into(), key).map_err(AuthorityError::Key)?,
            chain,
            id,
            kind,
            not_after,
        })
    }

    /// Its own certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().map_or(&[], Vec::as_slice)
    }

    /// Its own certificate and those that lead to a root (DER).
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Whether what it signs leads to one of these roots (DER).
    pub fn is_under(&self, roots: &[Vec<u8>]) -> bool {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().map(|root| root.as_slice().into()));
        // A certificate for nobody, which is thrown away: what verifies it verifies all that are signed.
        let endpoint = self.sign_throwaway();
        let verifier = WebPkiServerVerifier::builder_with_provider(store.into(), provider()).build();
        let (Ok(leaf), Ok(verifier)) = (endpoint, verifier) else {
            return false;
        };
        let chain: Vec<CertificateDer<'_>> = self.chain.iter().map(|der| der.as_slice().into()).collect();
        let name = ServerName::try_from(NOBODY).expect("a constant name");
        let verified = verifier.verify_server_cert(&leaf.into(), &chain, &name, &[], UnixTime::now());
        verified.is_ok()
    }

    fn sign_throwaway(&self) -> Result<Vec<u8>, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Key)?;
        let mut params = CertificateParams::new(vec![NOBODY.to_owned()]).map_err(AuthorityError::Sign)?;
        let validity = Validity::starting(SystemTime::now(), BACKDATED);
        (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
        params.use_authority_key_identifier_extension = true;
        self.sign_params(&params, &key)
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The private key (PKCS #8, DER): for the CA's own folder, and nowhere else.
    pub fn private_key(&self) -> &[u8] {
        self.issuer.key().serialized_der()
    }

    /// The key, as the certificates name it.
    pub fn id(&self) -> &AuthorityId {
        &self.id
    }

    /// Signs a certificate for a key.
    pub fn sign(&self, grant: &Grant, key: &ProvenKey, validity: Validity) -> Result<Signed, AuthorityError> {
        let Grant {
            identity,
            uid,
            ips,
            node,
        } = grant;
        let serial = random_serial()?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        if let Some(node) = node {
            name.push(DnType::OrganizationalUnitName, &**node);
        }
        params.distinguished_name = name;
        params.subject_alt_names = names(identity, uid, ips)?;
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
        let sent = match self.kind {
            AuthorityKind::Root => &[],
            AuthorityKind::Intermediate => &self.chain[..],
        };
        let certificate = self.sign_params(&params, &key.0)?;
        Ok(Signed {
            chain: [certificate].into_iter().chain(sent.iter().cloned()).collect(),
            serial: Serial::new(&serial),
        })
    }

    /// Signs what the rest of the room has put together.
    pub(super) fn sign_params(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Vec<u8>, AuthorityError> {
        let certificate = params.signed_by(key, &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(certificate.der().to_vec())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

// === impl ProvenKey ===

impl ProvenKey {
    /// Takes the key of a request (PKCS #10, DER). All else that the request asks for is left unread.
    pub fn of_request(der: &[u8]) -> Result<Self, InvalidRequest> {
        let request = CertificateSigningRequestParams::from_der(&der.into()).map_err(InvalidRequest::Unproven)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(InvalidRequest::Algorithm);
        }
        Ok(Self(request.public_key))
    }
}

impl fmt::Debug for ProvenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProvenKey")
    }
}

// === impl Validity ===

impl Validity {
    /// From a little before this moment, since clocks differ, and for so long from it.
    pub fn starting(now: SystemTime, life: Duration) -> Self {
        Self {
            not_before: now - BACKDATED,
            not_after: now + life,
        }
    }

    /// The same, but no longer than until then.
    #[must_use]
    pub fn until(self, latest: SystemTime) -> Self {
        Self {
            not_after: self.not_after.min(latest),
            ..self
        }
    }
}

fn names(identity: &Identity, uid: &PodUid, ips: &[IpAddr]) -> Result<Vec<SanType>, AuthorityError> {
    let uri = identity.to_string().try_into().map_err(AuthorityError::Sign)?;
    let pod = pod_name(uid, &identity.trust_domain)
        .try_into()
        .map_err(AuthorityError::Sign)?;
    let ips = ips.iter().map(|ip| SanType::IpAddress(*ip));
    Ok([SanType::URI(uri), SanType::DnsName(pod)]
        .into_iter()
        .chain(ips)
        .collect())
}

/// Draws the number of a mesh, by which agents know each other.
pub fn random_mesh() -> Result<[u8; 16], AuthorityError> {
    let mut mesh = [0; 16];
    rand::fill(&mut mesh).map_err(|Unspecified| AuthorityError::Random)?;
    Ok(mesh)
}

/// 127 random bits, never zero and never negative (RFC 5280, 4.1.2.2).
fn random_serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|Unspecified| AuthorityError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// The name in a certificate that is never used.
const NOBODY: &str = "nobody.weft";
/// How far certificates reach into the past: the clocks of nodes differ.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

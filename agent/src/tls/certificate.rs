//! A pod's certificate, read: an X.509-SVID with the pod's UID, its addresses and its node.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer as _,
};

use super::Fingerprint;
use crate::model::{Identity, InvalidIdentity, PodUid};

/// The serial number of a certificate, shown in hexadecimal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Arc<[u8]>);

/// The key of an authority, as the certificates that it signs name it (their authority key identifier).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityId(Arc<[u8]>);

/// What a pod's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodCertificate {
    pub(super) identity: Identity,
    pub(super) uid: PodUid,
    pub(super) ips: Vec<IpAddr>,
    pub(super) node: Option<Arc<str>>,
    pub(super) serial: Serial,
    pub(super) authority: AuthorityId,
    pub(super) fingerprint: Fingerprint,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    usage: Usage,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    client: bool,
    server: bool,
}

/// Which end of a connection a certificate stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It has dialled.
    Client,
    /// It was dialled.
    Server,
}

/// Why a certificate is not that of a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// It is no X.509 certificate.
    #[error("it cannot be read")]
    Unreadable,
    /// There must be exactly one URI.
    #[error("it has {0} URIs instead of one")]
    Uris(usize),
    /// The URI is not an identity.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// There must be exactly one name of a pod.
    #[error("it names {0} pods instead of one")]
    Pods(usize),
    /// It does not say by which key it is signed.
    #[error("it does not say who has signed it")]
    NoAuthority,
    /// Its extended key usage does not permit this.
    #[error("it is not meant for a TLS {}", match .0 { Role::Client => "client", Role::Server => "server" })]
    Usage(Role),
    /// A serial number is written in hexadecimal.
    #[error("a serial number is an even number of hexadecimal digits, at most 40")]
    Serial,
}

// === impl PodCertificate ===

impl PodCertificate {
    /// Reads what a peer or a CA has sent.
    pub(super) fn read(der: &[u8]) -> Result<Self, InvalidCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_error| InvalidCertificate::Unreadable)?;
        let mut names = Names::default();
        let mut usage = Usage {
            client: false,
            server: false,
        };
        let mut authority = None;
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(found) => {
                    found.general_names.iter().for_each(|name| names.add(name));
                }
                ParsedExtension::ExtendedKeyUsage(found) => {
                    usage = Usage {
                        client: found.client_auth,
                        server: found.server_auth,
                    };
                }
                ParsedExtension::AuthorityKeyIdentifier(found) => {
                    authority = found.key_identifier.as_ref().map(|id| AuthorityId(id.0.into()));
                }
                // x509-parser's own enum: what it knows beside these decides nothing here.
                _ => {}
            }
        }
        let [uri] = names.uris[..] else {
            return Err(InvalidCertificate::Uris(names.uris.len()));
        };
        let identity: Identity = uri.parse()?;
        let node = certificate.subject().iter_organizational_unit().next();
        Ok(Self {
            uid: names.pod(&identity.trust_domain)?,
            ips: names.ips,
            node: node.and_then(|node| node.as_str().ok()).map(Arc::from),
            serial: Serial(certificate.raw_serial().into()),
            authority: authority.ok_or(InvalidCertificate::NoAuthority)?,
            fingerprint: Fingerprint::of(der),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
            identity,
            usage,
        })
    }

    /// Whether it may be used so.
    pub(super) fn permits(&self, role: Role) -> Result<(), InvalidCertificate> {
        let permitted = match role {
            Role::Client => self.usage.client,
            Role::Server => self.usage.server,
        };
        if permitted {
            Ok(())
        } else {
            Err(InvalidCertificate::Usage(role))
        }
    }

    /// Whether it is valid at a time.
    pub(super) fn valid_at(&self, now: SystemTime) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }
}

/// The name of a pod in a certificate (DNS SAN).
pub(super) fn pod_name(uid: &PodUid, trust_domain: &str) -> String {
    format!("{uid}{POD_LABEL}{trust_domain}")
}

/// The names in a certificate.
#[derive(Default)]
struct Names<'a> {
    uris: Vec<&'a str>,
    dns: Vec<&'a str>,
    ips: Vec<IpAddr>,
}

// === impl Names ===

impl<'a> Names<'a> {
    fn add(&mut self, name: &GeneralName<'a>) {
        match name {
            GeneralName::URI(uri) => self.uris.push(uri),
            GeneralName::DNSName(dns) => self.dns.push(dns),
            GeneralName::IPAddress(bytes) => self.ips.extend(ip(bytes)),
            // x509-parser's own enum: other kinds of names mean nothing in the mesh.
            _ => {}
        }
    }

    fn pod(&self, trust_domain: &str) -> Result<PodUid, InvalidCertificate> {
        let suffix = format!("{POD_LABEL}{trust_domain}");
        let pods: Vec<&str> = self.dns.iter().filter_map(|dns| dns.strip_suffix(&suffix)).collect();
        match pods[..] {
            [uid] if !uid.is_empty() => Ok(PodUid::new(uid)),
            _ => Err(InvalidCertificate::Pods(pods.len())),
        }
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_length| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn time(timestamp: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(timestamp.try_into().unwrap_or(0))
}

/// What the certificate of an authority says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuthorityCertificate {
    pub(super) id: AuthorityId,
    /// Its public key, as the certificate holds it.
    pub(super) key: Vec<u8>,
    pub(super) not_after: SystemTime,
}

// === impl AuthorityCertificate ===

impl AuthorityCertificate {
    pub(super) fn read(der: &[u8]) -> Result<Self, InvalidCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_error| InvalidCertificate::Unreadable)?;
        let mut extensions = certificate.extensions().iter();
        let id = extensions.find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(AuthorityId(id.0.into())),
            // x509-parser's own enum.
            _ => None,
        });
        Ok(Self {
            id: id.ok_or(InvalidCertificate::NoAuthority)?,
            key: certificate.public_key().subject_public_key.data.to_vec(),
            not_after: time(certificate.validity().not_after.timestamp()),
        })
    }
}

/// The key of an authority, read from its own certificate (DER).
pub fn authority_id(der: &[u8]) -> Result<AuthorityId, InvalidCertificate> {
    Ok(AuthorityCertificate::read(der)?.id)
}

/// Until when the certificate of an authority (DER) is valid.
pub fn authority_end(der: &[u8]) -> Result<SystemTime, InvalidCertificate> {
    Ok(AuthorityCertificate::read(der)?.not_after)
}

// === impl Serial ===

impl Serial {
    /// Takes the bytes as a certificate has them.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl FromStr for Serial {
    type Err = InvalidCertificate;

    fn from_str(text: &str) -> Result<Self, InvalidCertificate> {
        let digits = text.as_bytes();
        if digits.is_empty() || digits.len() > 40 || !digits.len().is_multiple_of(2) {
            return Err(InvalidCertificate::Serial);
        }
        let bytes = digits.chunks(2).map(|pair| {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? << 4 | low?).ok()
        });
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes.map(|bytes| Self(bytes.into())).ok_or(InvalidCertificate::Serial)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

// === impl AuthorityId ===

impl AuthorityId {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Debug for AuthorityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// What stands between a pod's UID and the trust domain.
const POD_LABEL: &str = ".pod.";

//! The TLS between an agent and its CA. The CA proves to be the one whose root the agent's token names, or, in Kubernetes,
//! to have the name of its Service under one of the roots that the agent has been given.
//!
//! A root that tokens name is not one of those which sign pods: it stays when they rotate, and with it every token. The
//! agent proves who it is by its own token, once the CA is known.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption, UnbufferedClientConnection, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::UnbufferedServerConnection,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use tokio::net::TcpStream;

use super::{
    Authority, AuthorityError, Fingerprint, TlsCause, TlsError, TlsStream, Validity,
    handshake::Handshake,
    key::PodKey,
    pem::{InvalidPem, read_certificates},
    provider::provider,
    session::Session,
};

/// The CA's end: what it proves to be itself with.
#[derive(Clone)]
pub struct CaEndpoint(Arc<ServerConfig>);

/// How an agent knows the CA.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    /// By the root that a token names, which the CA itself sends.
    Root(Fingerprint),
    /// By roots, and the name that its certificate must bear.
    Roots(Arc<RootCertStore>, ServerName<'static>),
}

/// Why roots that a file holds cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBundle {
    /// There are none.
    #[error(transparent)]
    Pem(#[from] InvalidPem),
    /// TLS does not take one.
    #[error("a root certificate cannot be used")]
    Root(#[source] TlsCause),
}

// === impl Anchor ===

impl Anchor {
    /// Takes the text of a bundle's file (PEM) and the host at which the CA is to be.
    pub(super) fn bundle(pem: &[u8], host: &str) -> Result<Self, InvalidBundle> {
        let mut store = RootCertStore::empty();
        for root in read_certificates(pem)? {
            let added = store.add(root.into());
            added.map_err(|error| InvalidBundle::Root(TlsCause(error)))?;
        }
        Ok(Self::Roots(Arc::new(store), name_of(host)))
    }
}

/// The name that a CA at this host must prove: an address has none of its own.
fn name_of(host: &str) -> ServerName<'static> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match ServerName::try_from(host.trim_end_matches('.').to_owned()) {
        Ok(name @ ServerName::DnsName(_)) => name,
        // rustls' own enum; what is neither is refused by the resolver.
        Ok(_) | Err(_) => own_name(),
    }
}

fn own_name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a constant name")
}

// === impl CaEndpoint ===

impl CaEndpoint {
    /// Makes a certificate under an authority, for a CA that has these names beside its constant one.
    pub fn new(authority: &Authority, names: &[String]) -> Result<Self, AuthorityError> {
        let key = PodKey::generate().map_err(|_error| AuthorityError::Random)?;
        let names: Vec<String> = [NAME.to_owned()].into_iter().chain(names.iter().cloned()).collect();
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Sign)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, NAME);
        params.distinguished_name = name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let validity = Validity::starting(SystemTime::now(), LIFE);
        (params.not_before, params.not_after) = (validity.not_before.into(), validity.not_after.into());
        let leaf = authority.sign_params(&params, &key)?;
        let signer = key.signer().map_err(|_error| AuthorityError::Random)?;
        let chain = [leaf].into_iter().chain(authority.chain().iter().cloned());
        let certified = CertifiedKey::new(chain.map(CertificateDer::from).collect(), signer);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::new(certified))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with an agent that has connected. The caller sets the time limit.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream, TlsError> {
        let server = UnbufferedServerConnection::new(Arc::clone(&self.0))?;
        finish(stream, Session::Server(Box::new(server))).await
    }
}

impl fmt::Debug for CaEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaEndpoint")
    }
}

/// Shakes hands with a CA and verifies that it is the right one. The caller sets the time limit.
pub(super) async fn connect(stream: TcpStream, anchor: &Anchor) -> Result<TlsStream, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let (builder, name) = match anchor {
        Anchor::Root(root) => {
            let verifier = Arc::new(PinnedRoot(*root));
            (
                builder.dangerous().with_custom_certificate_verifier(verifier),
                own_name(),
            )
        }
        Anchor::Roots(roots, name) => (builder.with_root_certificates(Arc::clone(roots)), name.clone()),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_secret_extraction = true;
    let client = UnbufferedClientConnection::new(config.into(), name)?;
    finish(stream, Session::Client(Box::new(client))).await
}

async fn finish(stream: TcpStream, session: Session) -> Result<TlsStream, TlsError> {
    let mut handshake = Handshake::new(session, Vec::new());
    handshake.run(&stream).await?;
    let Handshake {
        session,
        incoming,
        outgoing,
        ..
    } = handshake;
    if session.state().alpn_protocol() != Some(ALPN) {
        return Err(TlsError::NoProtocol);
    }
    Ok(TlsStream::new(stream, session.into_records()?, incoming, outgoing))
}

/// Believes the root of this fingerprint, which the server itself sends.
#[derive(Debug)]
struct PinnedRoot(Fingerprint);

// === impl PinnedRoot ===

impl ServerCertVerifier for PinnedRoot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut sent = intermediates.iter();
        let root = sent.find(|certificate| Fingerprint::of(certificate) == self.0);
        let root = root.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The name in every CA's own certificate: which one it is, the root says.
const NAME: &str = "ca.weft";
const ALPN: &[u8] = b"h2";
/// It is made anew at each start of the CA, and whenever another authority signs.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

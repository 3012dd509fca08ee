//! What TLS verifies, and then the mesh: one verifier for each end, over those of rustls.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{
    Refused,
    certificate::{PodCertificate, Role},
    provider::provider,
    trust::Rules,
};

/// Verifies whom a pod dials.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    tls: Arc<WebPkiServerVerifier>,
    rules: Arc<Rules>,
}

/// Verifies who dials a pod.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    tls: Arc<dyn ClientCertVerifier>,
    rules: Arc<Rules>,
}

// === impl ServerVerifier ===

impl ServerVerifier {
    pub(super) fn new(roots: Arc<RootCertStore>, rules: Arc<Rules>) -> Self {
        let tls = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        Self {
            tls: tls.expect("the caller has roots, and there are no revocation lists"),
            rules,
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .tls
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        judge(&self.rules, end_entity, Role::Server, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.supported_verify_schemes()
    }
}

// === impl ClientVerifier ===

impl ClientVerifier {
    pub(super) fn new(roots: Arc<RootCertStore>, rules: Arc<Rules>) -> Self {
        // A client has one certificate only: hints which one to choose would be bytes for nothing.
        let tls = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .clear_root_hint_subjects()
            .build();
        Self {
            tls: tls.expect("the caller has roots, and there are no revocation lists"),
            rules,
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.tls.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.tls.verify_client_cert(end_entity, intermediates, now)?;
        judge(&self.rules, end_entity, Role::Client, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.supported_verify_schemes()
    }
}

fn judge(rules: &Rules, end_entity: &CertificateDer<'_>, role: Role, now: UnixTime) -> Result<(), Refused> {
    let certificate = PodCertificate::read(end_entity)?;
    certificate.permits(role)?;
    rules.judge(&certificate, UNIX_EPOCH + Duration::from_secs(now.as_secs()))
}

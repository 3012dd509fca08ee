//! A pod's private key: made here, held in memory, shown nowhere.

use std::{fmt, sync::Arc};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::{crypto::aws_lc_rs::sign::any_ecdsa_type, pki_types::PrivatePkcs8KeyDer, sign::SigningKey};

use super::TlsCause;

/// A private key on P-256.
pub(super) struct PodKey(KeyPair);

/// Why there is no key, or none that TLS can use.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("cannot make a key")]
    Generate(#[source] rcgen::Error),
    #[error("cannot ask for a certificate")]
    Request(#[source] rcgen::Error),
    #[error("TLS does not take the key")]
    Unusable(#[source] TlsCause),
}

// === impl PodKey ===

impl PodKey {
    pub(super) fn generate() -> Result<Self, KeyError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Generate)?;
        Ok(Self(key))
    }

    /// The request for a certificate (PKCS #10, DER): it proves that the key is ours and asks for no name, since the CA
    /// decides them all.
    pub(super) fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).map_err(KeyError::Request)?;
        Ok(request.der().to_vec())
    }

    /// The key as TLS signs with it.
    pub(super) fn signer(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        let der = PrivatePkcs8KeyDer::from(self.0.serialized_der()).into();
        any_ecdsa_type(&der).map_err(|error| KeyError::Unusable(TlsCause(error)))
    }
}

impl PublicKeyData for PodKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodKey")
    }
}

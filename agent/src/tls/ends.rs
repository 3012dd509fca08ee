//! Until when certificates are good, told to who has no other use for them.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::InvalidCertificate;

/// The ends of the certificates in a PEM text, in their order.
///
/// # Errors
///
/// When one of them is no certificate.
pub fn pem_ends(pem: &str) -> Result<Vec<SystemTime>, InvalidCertificate> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| {
            let der = certificate.map_err(|_error| InvalidCertificate::Unreadable)?;
            let (_, certificate) = X509Certificate::from_der(&der).map_err(|_error| InvalidCertificate::Unreadable)?;
            let seconds = certificate.validity().not_after.timestamp();
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_certificates_has_no_ends_and_a_wrong_one_is_told() {
        assert_eq!(pem_ends("# nothing\n"), Ok(Vec::new()));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(pem_ends(wrong), Err(InvalidCertificate::Unreadable));
    }
}

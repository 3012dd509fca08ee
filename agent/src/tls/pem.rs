//! Certificates as text (PEM, RFC 7468).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// A text that holds something else than certificates.
#[derive(Debug, thiserror::Error)]
#[error("it holds no certificates in PEM")]
pub struct InvalidPem;

/// Reads all certificates of a text (DER, in their order); there must be one.
pub fn read_certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, InvalidPem> {
    let certificates = CertificateDer::pem_slice_iter(text).map(|certificate| Ok(certificate?.to_vec()));
    let certificates: Result<Vec<Vec<u8>>, rustls::pki_types::pem::Error> = certificates.collect();
    let certificates = certificates.map_err(|_error| InvalidPem)?;
    if certificates.is_empty() {
        return Err(InvalidPem);
    }
    Ok(certificates)
}

/// Writes certificates (DER), one after the other.
pub fn write_certificates(certificates: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = BASE64_STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(LINE) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_as_they_are_written() {
        let certificates = [vec![7; 100], vec![8; 48]];
        let text = write_certificates(&certificates);
        assert_eq!(read_certificates(text.as_bytes()).expect("certificates"), certificates);
        assert!(text.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn a_text_without_certificates_or_with_a_broken_one_is_refused() {
        let whole = write_certificates(&[vec![7; 100]]);
        let cut = whole.replace("-----END CERTIFICATE-----\n", "");
        for text in ["", "no PEM", &cut] {
            assert!(read_certificates(text.as_bytes()).is_err(), "{text}");
        }
    }
}

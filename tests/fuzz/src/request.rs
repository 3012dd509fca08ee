//! Requests for certificates: what is taken for proven is so each time.

use agent::tls::ProvenKey;

pub(crate) fn check(der: &[u8]) {
    let proven = ProvenKey::of_request(der).is_ok();
    assert_eq!(ProvenKey::of_request(der).is_ok(), proven);
}

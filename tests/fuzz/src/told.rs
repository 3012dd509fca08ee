//! What agents tell each other of clients in a request: it is read as it was told.

use agent::proxy::bytes::{tell, told};
use http::HeaderValue;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    if let Some(header) = told(&value) {
        let again = tell(&header).expect("base64 is a value");
        assert_eq!(told(&again), Some(header));
    }
}

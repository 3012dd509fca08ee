//! What an application is told of its client beside the request: who it is, and the request's id. A client's own word
//! of who it is is never believed.

use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{model::Identity, tls::Fingerprint};

/// Sets who the client is, as Envoy writes it, or takes away what the client says of itself.
pub(super) fn set_client(headers: &mut HeaderMap, client: Option<HeaderValue>) {
    match client {
        Some(client) => {
            headers.insert(CLIENT_CERTIFICATE, client);
        }
        None => {
            headers.remove(&CLIENT_CERTIFICATE);
        }
    }
}

/// The header's value for a client whose identity is proved to this pod, by which certificate where one was needed.
pub(super) fn client(identity: &Identity, certificate: Option<Fingerprint>, by: &Identity) -> Option<HeaderValue> {
    // The text of an identity has no character that were to be escaped.
    let value = match certificate {
        Some(certificate) => format!("By={by};Hash={};URI={identity}", certificate.hex()),
        None => format!("By={by};URI={identity}"),
    };
    HeaderValue::try_from(value).ok()
}

/// The request's id: the client's, or a new one.
pub(super) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    headers.entry(REQUEST_ID).or_insert_with(new_id).clone()
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> HeaderValue {
    // Keyed by the operating system's randomness, and anew with each use.
    let random = RandomState::new();
    let [high, low] = [0, 1].map(|half: u8| random.hash_one(half));
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let id = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    HeaderValue::try_from(id).unwrap_or_else(|_digits_only| HeaderValue::from_static("-"))
}

const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_replaced_or_goes() {
        let forged = || HeaderMap::from_iter([(CLIENT_CERTIFICATE, HeaderValue::from_static("URI=spiffe://forged"))]);
        let mut proved = forged();
        let [web, cart] = ["web", "cart"].map(|name| Identity::new("cluster.local", "shop", name));
        proved.append(CLIENT_CERTIFICATE, HeaderValue::from_static("URI=spiffe://second"));
        set_client(&mut proved, client(&web, None, &cart));
        let values: Vec<_> = proved.get_all(CLIENT_CERTIFICATE).iter().collect();
        assert_eq!(
            values,
            ["By=spiffe://cluster.local/ns/shop/sa/cart;URI=spiffe://cluster.local/ns/shop/sa/web"]
        );
        let hash = "Hash=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad;";
        let with_certificate = client(&web, Some(Fingerprint::of(b"abc")), &cart).unwrap();
        let expected = values[0].to_str().unwrap().replace("URI=", &format!("{hash}URI="));
        assert_eq!(with_certificate, expected);
        let mut unproved = forged();
        set_client(&mut unproved, None);
        assert!(unproved.is_empty());
    }

    #[test]
    fn a_request_keeps_its_id_and_gets_one_where_it_has_none() {
        let mut own = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("mine"))]);
        assert_eq!(request_id(&mut own), "mine");
        let (mut first, mut second) = (HeaderMap::new(), HeaderMap::new());
        let ids = [request_id(&mut first), request_id(&mut second)];
        assert_eq!(first[REQUEST_ID], ids[0]);
        assert_ne!(ids[0], ids[1]);
        let text = ids[0].to_str().unwrap();
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
    }
}

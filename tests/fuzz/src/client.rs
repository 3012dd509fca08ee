//! X-Forwarded-Client-Cert: whatever identities are, the value has three parts and no more.

use agent::{model::Identity, proxy::bytes::client, tls::Fingerprint};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Some((who, by)) = text.split_once('\n') else {
        return;
    };
    let (Ok(who), Ok(by)) = (who.parse::<Identity>(), by.parse::<Identity>()) else {
        return;
    };
    let certificate = Fingerprint::of(bytes);
    for (hash, certificate) in [
        (String::new(), None),
        (format!("Hash={};", certificate.hex()), Some(certificate)),
    ] {
        let value = client(&who, certificate, &by).expect("an identity is text");
        assert_eq!(value, format!("By={by};{hash}URI={who}"));
        let parts: Vec<_> = value.to_str().expect("text").split(';').collect();
        assert_eq!(parts.len(), 2 + usize::from(certificate.is_some()), "{parts:?}");
        assert!(
            !parts.iter().any(|part| part.contains([',', '"', '\\', ' '])),
            "{parts:?}"
        );
        assert_eq!(
            parts.last().and_then(|part| part.strip_prefix("URI=")?.parse().ok()),
            Some(who.clone())
        );
    }
}

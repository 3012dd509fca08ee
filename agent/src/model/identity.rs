//! Who a workload is: its SPIFFE identity.

use std::{fmt, str::FromStr, sync::Arc};

/// The identity of a service account: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` (SPIFFE-ID, 2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The trust domain.
    pub trust_domain: Arc<str>,
    /// The namespace of the service account.
    pub namespace: Arc<str>,
    /// The name of the service account.
    pub service_account: Arc<str>,
}

/// Why a text is not an identity of a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{uri:?} is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct InvalidIdentity {
    uri: String,
}

// === impl Identity ===

impl Identity {
    /// Joins the parts.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Self {
        Self {
            trust_domain: trust_domain.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            service_account,
        } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    /// Takes exactly the form that [`fmt::Display`] writes: no port, query, fragment or encoded character is one.
    fn from_str(uri: &str) -> Result<Self, InvalidIdentity> {
        let invalid = || InvalidIdentity { uri: uri.to_owned() };
        let rest = uri.strip_prefix("spiffe://").ok_or_else(invalid)?;
        let mut parts = rest.split('/');
        let (trust_domain, ns, namespace, sa, service_account) = (
            parts.next().filter(|part| is_trust_domain(part)).ok_or_else(invalid)?,
            parts.next().ok_or_else(invalid)?,
            parts.next().filter(|part| is_segment(part)).ok_or_else(invalid)?,
            parts.next().ok_or_else(invalid)?,
            parts.next().filter(|part| is_segment(part)).ok_or_else(invalid)?,
        );
        if ns != "ns" || sa != "sa" || parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self::new(trust_domain, namespace, service_account))
    }
}

/// SPIFFE-ID, 2.1: lower case letters, digits, dots, dashes and underscores, at most 255 of them.
fn is_trust_domain(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
}

/// SPIFFE-ID, 2.2: letters, digits, dots, dashes and underscores, and neither `.` nor `..`.
fn is_segment(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let identity = Identity::new("cluster.local", "shop", "cart");
        assert_eq!(identity.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn other_uris_are_no_identities() {
        for uri in [
            "",
            "https://cluster.local/ns/shop/sa/cart",
            "spiffe://cluster.local",
            "spiffe:///ns/shop/sa/cart",
            "spiffe://Cluster.local/ns/shop/sa/cart",
            "spiffe://cluster.local:443/ns/shop/sa/cart",
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns//sa/cart",
            "spiffe://cluster.local/ns/../sa/cart",
            "spiffe://cluster.local/ns/shop/sa/cart/",
            "spiffe://cluster.local/ns/shop/sa/cart/more",
            "spiffe://cluster.local/ns/shop/sa/cart?query",
            "spiffe://cluster.local/ns/sh%6fp/sa/cart",
            "spiffe://cluster.local/sa/shop/ns/cart",
        ] {
            assert_eq!(uri.parse::<Identity>(), Err(InvalidIdentity { uri: uri.to_owned() }));
        }
    }
}

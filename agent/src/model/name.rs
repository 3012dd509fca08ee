//! Names of objects.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A namespaced Kubernetes object's name, shown as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name within the namespace.
    pub name: Arc<str>,
}

/// A pod's UID: unlike its name and its address never used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodUid(Arc<str>);

// === impl ObjectName ===

impl ObjectName {
    /// Joins a namespace and a name.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl PodUid ===

impl PodUid {
    /// Takes the UID as Kubernetes writes it.
    pub fn new(uid: impl Into<Arc<str>>) -> Self {
        Self(uid.into())
    }

    /// The UID of a pod that has none, as in manifests written by hand: the same for the same name, on every node.
    ///
    /// FNV-1a of `namespace/name`, in the form of a UUID (version 8, RFC 9562).
    pub fn derived(name: &ObjectName) -> Self {
        let hash = name.to_string().bytes().fold(FNV_OFFSET, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME)
        });
        let versioned = hash & !(0xf << 76) | 0x8 << 76;
        let uuid = format!("{:032x}", versioned & !(0b11 << 62) | 0b10 << 62);
        let parts = [&uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]];
        Self(parts.join("-").into())
    }

    /// The UID as Kubernetes writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;

const FNV_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_uid_is_a_uuid_which_only_the_name_decides() {
        let uid = PodUid::derived(&ObjectName::new("default", "web"));
        assert_eq!(uid, PodUid::derived(&ObjectName::new("default", "web")));
        assert_ne!(uid, PodUid::derived(&ObjectName::new("default", "web2")));
        let lengths: Vec<usize> = uid.as_str().split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&uid.as_str()[14..15], "8", "version");
        assert!("89ab".contains(&uid.as_str()[19..20]), "variant");
    }
}

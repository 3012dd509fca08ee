//! All that a CA keeps, as its file holds it.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    CaServerError,
    announced::{Announced, AnnouncedKind, Issuer},
};
use crate::tls::{Authority, AuthorityError, Validity, random_mesh};

/// All that a CA keeps.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The version of this form.
    pub(super) version: u32,
    pub(super) trust_domain: String,
    /// The random number of the mesh, which stays when roots rotate.
    pub(super) mesh: String,
    /// The root of the CA's own TLS, which tokens name; none in a cluster, where there are no tokens.
    pub(super) endpoint: Option<KeptRoot>,
    /// The roots that agents believe, the oldest first.
    pub(super) roots: Vec<KeptRoot>,
    pub(super) rotation: Option<Rotation>,
    /// The deny-list, in the words of the bundle.
    pub(super) denied: Vec<String>,
    pub(super) tokens: Vec<KeptToken>,
    /// Counts up when roots or deny-list change.
    pub(super) bundle: u64,
    /// The certificates of authorities that are not the CA's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) announced: Vec<Announced>,
}

/// A root with its key, in base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptRoot {
    certificate: String,
    key: String,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub(super) enum Rotation {
    /// The new root is in the bundle, the old one signs.
    Joining {
        /// Since when, in seconds since 1970.
        since: u64,
        /// Whether it signs without waiting for anybody.
        #[serde(default)]
        forced: bool,
    },
    /// The new root signs; the old one is believed until what it has signed is over.
    Leaving {
        /// When that is, in seconds since 1970.
        until: u64,
    },
}

/// What is kept of a token: its owner can be known again, and nobody can make it from this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptToken {
    pub(super) node: String,
    pub(super) fingerprint: String,
    /// In seconds since 1970.
    pub(super) expires: u64,
}

// === impl State ===

impl State {
    /// The state of a new CA.
    pub(super) fn create(trust_domain: &str) -> Result<Self, CaServerError> {
        Ok(Self {
            version: VERSION,
            trust_domain: trust_domain.to_owned(),
            mesh: BASE64_STANDARD.encode(random_mesh()?),
            endpoint: Some(KeptRoot::create(trust_domain)?),
            roots: vec![KeptRoot::create(trust_domain)?],
            announced: Vec::new(),
            rotation: None,
            denied: Vec::new(),
            tokens: Vec::new(),
            bundle: 1,
        })
    }

    /// The state of a new CA in a cluster: with a root of its own, or for an authority that is not its own.
    pub(super) fn for_cluster(trust_domain: &str, issuer: Option<&Issuer>) -> Result<Self, CaServerError> {
        let mut state = Self {
            endpoint: None,
            ..Self::create(trust_domain)?
        };
        if let Some(issuer) = issuer {
            state.roots.clear();
            issuer.announce(&mut state, Duration::ZERO, SystemTime::now());
        }
        Ok(state)
    }

    /// The root of the CA's own TLS.
    pub(super) fn endpoint(&self) -> Result<Authority, CaServerError> {
        self.endpoint
            .as_ref()
            .ok_or(CaServerError::Senseless("root of the CA's own TLS"))?
            .load()
    }

    /// The certificates (DER) of this kind that are not of the CA's own authorities.
    pub(super) fn announced(&self, kind: AnnouncedKind) -> Result<Vec<Vec<u8>>, CaServerError> {
        self.announced.iter().filter_map(|known| known.der(kind)).collect()
    }

    /// The root that signs, by its place.
    pub(super) fn signer(&self) -> usize {
        match self.rotation {
            Some(Rotation::Joining { .. }) => 0,
            Some(Rotation::Leaving { .. }) | None => self.roots.len().saturating_sub(1),
        }
    }

    pub(super) fn mesh(&self) -> Result<[u8; 16], CaServerError> {
        let bytes = BASE64_STANDARD.decode(&self.mesh).unwrap_or_default();
        bytes.try_into().map_err(|_length| CaServerError::Senseless("mesh"))
    }
}

// === impl Rotation ===

impl Rotation {
    /// Whether the new root does not sign yet.
    pub(super) fn is_joining(self) -> bool {
        match self {
            Self::Joining { .. } => true,
            Self::Leaving { .. } => false,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("trust_domain", &self.trust_domain)
            .field("bundle", &self.bundle)
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}

// === impl KeptRoot ===

impl KeptRoot {
    pub(super) fn create(trust_domain: &str) -> Result<Self, AuthorityError> {
        let validity = Validity::starting(SystemTime::now(), ROOT_LIFE);
        let authority = Authority::create(trust_domain, validity)?;
        Ok(Self {
            certificate: BASE64_STANDARD.encode(authority.certificate()),
            key: BASE64_STANDARD.encode(authority.private_key()),
        })
    }

    pub(super) fn load(&self) -> Result<Authority, CaServerError> {
        let key = decode(&self.key, "key of a root")?;
        Ok(Authority::load(self.certificate()?, &key)?)
    }

    /// The certificate (DER).
    pub(super) fn certificate(&self) -> Result<Vec<u8>, CaServerError> {
        decode(&self.certificate, "root")
    }
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, CaServerError> {
    let bytes = BASE64_STANDARD.decode(text);
    bytes.map_err(|_not_base64| CaServerError::Senseless(what))
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The version of this form.
pub(super) const VERSION: u32 = 1;
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

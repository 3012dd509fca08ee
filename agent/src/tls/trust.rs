//! Whom this agent believes: the roots, the trust domain, and who is denied although a root has signed.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::SystemTime};

use rustls::{RootCertStore, client::danger::ServerCertVerifier, server::danger::ClientCertVerifier};

use super::{
    AuthorityId, Grant, InvalidCertificate, Peer, Refused, Serial, TlsCause,
    certificate::{PodCertificate, authority_id},
    verify::{ClientVerifier, ServerVerifier},
};
use crate::model::{Identity, InvalidIdentity, PodUid};

/// Whose certificates are refused although they are valid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// All pods of a node.
    Node(Arc<str>),
    /// All pods of a service account.
    Identity(Identity),
    /// One pod.
    Pod(PodUid),
    /// One certificate.
    Serial(Serial),
}

/// Why a text is no denial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDenial {
    /// It names no kind.
    #[error("a denial is `node`, `identity`, `pod` or `serial`, and a name")]
    Form,
    /// The identity is none.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// The serial number is none.
    #[error(transparent)]
    Serial(#[from] InvalidCertificate),
}

/// All denials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList(BTreeSet<Denial>);

/// Whom an agent believes at one moment.
#[derive(Debug)]
pub(super) struct Trust {
    rules: Arc<Rules>,
    pub(super) servers: Arc<dyn ServerCertVerifier>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

/// What a certificate must satisfy beside its signature.
#[derive(Debug)]
pub(super) struct Rules {
    trust_domain: Arc<str>,
    authorities: BTreeSet<AuthorityId>,
    denied: DenyList,
}

/// Why certificates cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// One cannot be read.
    #[error("a root certificate is not one")]
    Root(#[from] InvalidCertificate),
    /// TLS does not take them.
    #[error("the root certificates cannot be used")]
    Unusable(#[source] TlsCause),
    /// There is none.
    #[error("there is no root certificate")]
    None,
}

// === impl Trust ===

impl Trust {
    /// Trusts what these roots sign for a trust domain, and what these intermediate authorities sign under them.
    pub(super) fn new(
        trust_domain: Arc<str>,
        roots: &[Vec<u8>],
        intermediates: &[Vec<u8>],
        denied: DenyList,
    ) -> Result<Self, InvalidRoots> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store
                .add(root.clone().into())
                .map_err(|error| InvalidRoots::Unusable(TlsCause(error)))?;
        }
        if store.is_empty() {
            return Err(InvalidRoots::None);
        }
        let authorities = roots.iter().chain(intermediates);
        let authorities = authorities.map(|certificate| authority_id(certificate));
        let rules = Arc::new(Rules {
            trust_domain,
            authorities: authorities.collect::<Result<_, _>>()?,
            denied,
        });
        let store = Arc::new(store);
        Ok(Self {
            servers: Arc::new(ServerVerifier::new(Arc::clone(&store), Arc::clone(&rules))),
            clients: Arc::new(ClientVerifier::new(store, Arc::clone(&rules))),
            rules,
        })
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

// === impl Rules ===

impl Rules {
    /// Judges a certificate, new or from a ticket.
    pub(super) fn judge(&self, certificate: &PodCertificate, now: SystemTime) -> Result<(), Refused> {
        if certificate.identity.trust_domain != self.trust_domain {
            return Err(Refused::TrustDomain {
                found: Arc::clone(&certificate.identity.trust_domain),
            });
        }
        if !certificate.valid_at(now) {
            return Err(Refused::Expired {
                not_after: certificate.not_after,
            });
        }
        self.standing(&Peer::of(certificate))
    }

    /// Judges a peer of whom the rest was judged before: what can change while its connection lives.
    pub(super) fn standing(&self, peer: &Peer) -> Result<(), Refused> {
        if !self.authorities.contains(&peer.authority) {
            return Err(Refused::Root);
        }
        self.denied
            .find(peer)
            .map_or(Ok(()), |denial| Err(Refused::Denied(denial)))
    }
}

// === impl DenyList ===

impl DenyList {
    /// The denial that a peer falls under.
    fn find(&self, peer: &Peer) -> Option<Denial> {
        if self.0.is_empty() {
            return None;
        }
        let node = peer.node.as_ref().map(|node| Denial::Node(Arc::clone(node)));
        let others = [
            Denial::Identity(peer.identity.clone()),
            Denial::Pod(peer.uid.clone()),
            Denial::Serial(peer.serial.clone()),
        ];
        node.into_iter().chain(others).find(|denial| self.0.contains(denial))
    }

    /// The denial that a certificate would fall under before it is signed.
    pub fn find_grant(&self, grant: &Grant) -> Option<Denial> {
        let Grant {
            identity, uid, node, ..
        } = grant;
        let node = node.as_ref().map(|node| Denial::Node(Arc::clone(node)));
        let others = [Denial::Identity(identity.clone()), Denial::Pod(uid.clone())];
        node.into_iter().chain(others).find(|denial| self.0.contains(denial))
    }

    /// Whether a node is denied.
    pub fn has_node(&self, node: &Arc<str>) -> bool {
        self.0.contains(&Denial::Node(Arc::clone(node)))
    }

    /// Its entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Denial> {
        self.0.iter()
    }
}

impl FromIterator<Denial> for DenyList {
    fn from_iter<I: IntoIterator<Item = Denial>>(denials: I) -> Self {
        Self(denials.into_iter().collect())
    }
}

impl FromStr for Denial {
    type Err = InvalidDenial;

    /// Takes what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, InvalidDenial> {
        let (kind, name) = text.split_once(' ').ok_or(InvalidDenial::Form)?;
        match kind {
            "node" => Ok(Self::Node(name.into())),
            "identity" => Ok(Self::Identity(name.parse()?)),
            "pod" => Ok(Self::Pod(PodUid::new(name))),
            "serial" => Ok(Self::Serial(name.parse()?)),
            _ => Err(InvalidDenial::Form),
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Identity(identity) => write!(f, "identity {identity}"),
            Self::Pod(uid) => write!(f, "pod {uid}"),
            Self::Serial(serial) => write!(f, "serial {serial}"),
        }
    }
}

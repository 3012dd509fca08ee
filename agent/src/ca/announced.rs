//! Authorities that are not the CA's own: an intermediate one from files, which something else makes and renews, such as
//! cert-manager. What all replicas' files hold is announced in the state, so that agents believe what any replica signs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    CaServerError,
    state::{State, seconds},
};
use crate::tls::{Authority, authority_end, read_certificates};

/// Where an intermediate authority lies.
#[derive(Clone, Debug)]
pub struct IssuerFiles {
    /// The roots (PEM).
    pub roots: PathBuf,
    /// Its certificate, and those that lead to a root (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
}

/// An intermediate authority as its files hold it.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) authority: Arc<Authority>,
    roots: Vec<Vec<u8>>,
}

/// A certificate that agents are told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Announced {
    certificate: String,
    kind: AnnouncedKind,
    /// Since when, in seconds since 1970.
    since: u64,
    /// Until when, where no files hold it any more.
    until: Option<u64>,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AnnouncedKind {
    /// A root.
    Root,
    /// An intermediate authority, which signs.
    Intermediate,
}

// === impl IssuerFiles ===

impl IssuerFiles {
    /// Reads them all; they must belong together, which they may not for a moment while they are replaced.
    pub(super) fn read(&self) -> Result<Issuer, CaServerError> {
        let Self {
            roots,
            certificate,
            key,
        } = self;
        let key = fs::read_to_string(key).map_err(failed(key))?;
        let authority = Authority::intermediate(certificates(certificate)?, &key)?;
        if authority.not_after() <= SystemTime::now() {
            return Err(CaServerError::Expired);
        }
        let roots = certificates(roots)?;
        if !authority.is_under(&roots) {
            return Err(CaServerError::Unrooted);
        }
        Ok(Issuer {
            authority: Arc::new(authority),
            roots,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, CaServerError> {
    let text = fs::read(path).map_err(failed(path))?;
    read_certificates(&text).map_err(|source| CaServerError::Certificates {
        path: path.to_owned(),
        source,
    })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CaServerError {
    let path = path.to_owned();
    move |source| CaServerError::File {
        path: path.clone(),
        source,
    }
}

// === impl Issuer ===

impl Issuer {
    /// Whether it is the same as another one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.roots == other.roots && self.authority.chain() == other.authority.chain()
    }

    /// The certificates to announce.
    fn certificates(&self) -> impl Iterator<Item = (AnnouncedKind, &[u8])> {
        let roots = self.roots.iter().map(|root| (AnnouncedKind::Root, root.as_slice()));
        roots.chain([(AnnouncedKind::Intermediate, self.authority.certificate())])
    }

    /// Announces it in the state, and sends off what it takes the place of. Says whether the state has changed.
    ///
    /// What is sent off stays until all that it has signed is over, and never comes back: files of two replicas may differ
    /// for a while, and must not undo each other's change.
    pub(super) fn announce(&self, state: &mut State, life: Duration, now: SystemTime) -> bool {
        let before = state.announced.clone();
        for (kind, certificate) in self.certificates() {
            let certificate = BASE64_STANDARD.encode(certificate);
            if !before.iter().any(|known| known.certificate == certificate) {
                state.announced.push(Announced {
                    certificate,
                    kind,
                    since: seconds(now),
                    until: None,
                });
            }
        }
        let is_newest = |known: &Announced| {
            let mut own = self.certificates();
            own.any(|(_, certificate)| BASE64_STANDARD.encode(certificate) == known.certificate)
        };
        // Only who brings something new knows that the rest is old.
        if state.announced.len() > before.len() {
            for known in &mut state.announced {
                if !is_newest(known) {
                    known.until.get_or_insert(seconds(now + life + MARGIN));
                }
            }
        }
        state.announced.retain(|known| !known.is_over(seconds(now)));
        let changed = state.announced != before;
        if changed {
            state.bundle += 1;
        }
        changed
    }

    /// How long to wait before it signs: agents must have been told of it, except where there is no other one.
    pub(super) fn wait(&self, state: &State, now: SystemTime) -> Duration {
        let own = BASE64_STANDARD.encode(self.authority.certificate());
        let mut others = state.announced.iter();
        let others = others.any(|known| known.kind == AnnouncedKind::Intermediate && known.certificate != own);
        let since = state.announced.iter().find(|known| known.certificate == own);
        match since {
            Some(known) if others => {
                let ready = Duration::from_secs(known.since) + NOTICE;
                ready.saturating_sub(Duration::from_secs(seconds(now)))
            }
            Some(_) => Duration::ZERO,
            None => NOTICE,
        }
    }
}

// === impl Announced ===

impl Announced {
    /// The certificate (DER), if it is of this kind.
    pub(super) fn der(&self, kind: AnnouncedKind) -> Option<Result<Vec<u8>, CaServerError>> {
        let decoded = BASE64_STANDARD.decode(&self.certificate);
        (self.kind == kind).then(|| decoded.map_err(|_not_base64| CaServerError::Senseless("announced certificate")))
    }

    /// Whether it has served: it was sent off, or its own end has come.
    fn is_over(&self, now: u64) -> bool {
        let der = BASE64_STANDARD.decode(&self.certificate).unwrap_or_default();
        let end = authority_end(&der).map_or(0, seconds);
        end <= now || self.until.is_some_and(|until| until <= now)
    }
}

/// How far clocks may differ.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a new intermediate authority is announced before it signs: agents that attend learn of it within a second.
const NOTICE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;

//! The state as a running CA works with it: keys loaded, lists parsed.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{
    CaServerError,
    announced::{AnnouncedKind, Issuer},
    state::{State, seconds},
};
use crate::{
    telemetry::AuthorityRole,
    tls::{Authority, CaEndpoint, DenyList, Fingerprint, JoinToken, authority_end, issue::Bundle, write_certificates},
};

/// The state of a running CA at one moment.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) bundle: Bundle,
    /// What the CA proves to be itself with.
    pub(super) endpoint: CaEndpoint,
    signer: Arc<Authority>,
    tokens: BTreeMap<Fingerprint, u64>,
}

// === impl Live ===

impl Live {
    /// For a CA of one process, which agents know by the root that their tokens name.
    pub(super) fn new(state: &State) -> Result<Self, CaServerError> {
        let endpoint = CaEndpoint::new(&state.endpoint()?, &[])?;
        Self::with(state, own_signer(state)?, endpoint)
    }

    /// For a replica in a cluster, which agents know by the bundle and one of these names; it signs with the newest of its
    /// own roots, or with an authority that is not its own.
    pub(super) fn replica(state: &State, names: &[String], issuer: Option<&Issuer>) -> Result<Self, CaServerError> {
        let signer = match issuer {
            Some(issuer) => Arc::clone(&issuer.authority),
            None => own_signer(state)?,
        };
        let endpoint = CaEndpoint::new(&signer, names)?;
        Self::with(state, signer, endpoint)
    }

    fn with(state: &State, signer: Arc<Authority>, endpoint: CaEndpoint) -> Result<Self, CaServerError> {
        let denied = state.denied.iter().map(|denial| denial.parse());
        let tokens = state.tokens.iter().map(|token| {
            let fingerprint = token.fingerprint.parse();
            let fingerprint = fingerprint.map_err(|_invalid| CaServerError::Senseless("token"))?;
            Ok::<_, CaServerError>((fingerprint, token.expires))
        });
        Ok(Self {
            bundle: Bundle {
                version: state.bundle,
                trust_domain: state.trust_domain.as_str().into(),
                mesh: state.mesh()?,
                roots: roots(state)?,
                intermediates: state.announced(AnnouncedKind::Intermediate)?,
                signer: signer.id().clone(),
                denied: denied
                    .collect::<Result<DenyList, _>>()
                    .map_err(|_invalid| CaServerError::Senseless("deny-list"))?,
            },
            endpoint,
            signer,
            tokens: tokens.collect::<Result<_, _>>()?,
        })
    }

    /// The authority that signs.
    pub(super) fn signer(&self) -> &Authority {
        &self.signer
    }

    pub(super) fn trust_domain(&self) -> &Arc<str> {
        &self.bundle.trust_domain
    }

    /// Until when each authority is valid.
    pub(super) fn ends(&self) -> Vec<(AuthorityRole, String, SystemTime)> {
        let roots = self.bundle.roots.iter().filter_map(|root| {
            let key = Fingerprint::of(root).to_string();
            Some((AuthorityRole::Root, key, authority_end(root).ok()?))
        });
        let signer = Fingerprint::of(self.signer.certificate()).to_string();
        roots
            .chain([(AuthorityRole::Signer, signer, self.signer.not_after())])
            .collect()
    }

    /// Whether a token may be used; else what its bearer is told.
    pub(super) fn knows(&self, token: &JoinToken) -> Result<(), String> {
        match self.tokens.get(&token.fingerprint()) {
            None => Err("this CA does not know the token".to_owned()),
            Some(expires) if *expires <= seconds(SystemTime::now()) => Err("the token has expired".to_owned()),
            Some(_) if self.bundle.denied.has_node(&token.node) => Err("the deny-list has the node".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

/// The roots that agents believe, as agents are given them in a file.
pub(super) fn bundle_text(state: &State) -> Result<String, CaServerError> {
    Ok(write_certificates(&roots(state)?))
}

fn own_signer(state: &State) -> Result<Arc<Authority>, CaServerError> {
    let signer = state.roots.get(state.signer());
    Ok(Arc::new(
        signer.ok_or(CaServerError::Senseless("list of roots"))?.load()?,
    ))
}

fn roots(state: &State) -> Result<Vec<Vec<u8>>, CaServerError> {
    let own = state.roots.iter().map(|root| root.certificate());
    let mut roots: Vec<Vec<u8>> = own.collect::<Result<_, _>>()?;
    roots.extend(state.announced(AnnouncedKind::Root)?);
    Ok(roots)
}

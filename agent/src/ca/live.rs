//! The state as a running CA works with it: keys loaded, lists parsed.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{
    CaServerError,
    state::{State, seconds},
};
use crate::tls::{Authority, DenyList, Fingerprint, JoinToken, issue::Bundle};

/// The state of a running CA at one moment.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) bundle: Bundle,
    signer: Authority,
    tokens: BTreeMap<Fingerprint, u64>,
}

// === impl Live ===

impl Live {
    pub(super) fn new(state: &State) -> Result<Self, CaServerError> {
        let mut roots: Vec<Authority> = state.roots.iter().map(|root| root.load()).collect::<Result<_, _>>()?;
        let bundle_roots = roots.iter().map(|root| root.root().to_vec()).collect();
        if roots.is_empty() {
            return Err(CaServerError::Senseless("list of roots"));
        }
        let signer = roots.swap_remove(state.signer());
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
                roots: bundle_roots,
                signer: signer.id().clone(),
                denied: denied
                    .collect::<Result<DenyList, _>>()
                    .map_err(|_invalid| CaServerError::Senseless("deny-list"))?,
            },
            signer,
            tokens: tokens.collect::<Result<_, _>>()?,
        })
    }

    /// The root that signs.
    pub(super) fn signer(&self) -> &Authority {
        &self.signer
    }

    pub(super) fn trust_domain(&self) -> &Arc<str> {
        &self.bundle.trust_domain
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

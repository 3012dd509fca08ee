//! Whom a client wants to reach.

use std::{net::IpAddr, sync::Arc};

use rustls::pki_types::ServerName;

use super::{
    Refused, TlsError,
    certificate::{PodCertificate, pod_name},
};
use crate::model::PodUid;

/// Whom a client wants to reach: the server must prove to be the very pod that was dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The pod, where its slice tells: then the certificate must name it.
    pub uid: Option<PodUid>,
    /// The dialled address: where the pod is not known, the certificate must name this.
    pub ip: IpAddr,
    /// The namespace of the slice: who may write slices must not be able to borrow a foreign pod.
    pub namespace: Option<Arc<str>>,
}

// === impl Expected ===

impl Expected {
    /// The name that TLS verifies.
    pub(super) fn name(&self, trust_domain: &str) -> Result<ServerName<'static>, TlsError> {
        let Some(uid) = &self.uid else {
            return Ok(self.ip.to_canonical().into());
        };
        ServerName::try_from(pod_name(uid, trust_domain)).map_err(|_invalid| TlsError::Unnameable { uid: uid.clone() })
    }

    /// Looks at what TLS does not: the namespace, and after a resumption the name again.
    pub(super) fn check(&self, certificate: &PodCertificate) -> Result<(), Refused> {
        match &self.uid {
            Some(dialled) if dialled != &certificate.uid => {
                return Err(Refused::Pod {
                    dialled: dialled.clone(),
                    found: certificate.uid.clone(),
                });
            }
            None if !certificate.ips.contains(&self.ip.to_canonical()) => {
                return Err(Refused::Address {
                    dialled: self.ip,
                    found: certificate.uid.clone(),
                });
            }
            Some(_) | None => {}
        }
        match &self.namespace {
            Some(dialled) if dialled != &certificate.identity.namespace => Err(Refused::Namespace {
                dialled: Arc::clone(dialled),
                found: Arc::clone(&certificate.identity.namespace),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

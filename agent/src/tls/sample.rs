//! A CA and certificates for tests, without a process or a network between.

use std::{sync::Arc, time::Duration, time::SystemTime};

use agent_common::MeshId;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{
    DenyList, Identities,
    authority::{Authority, Grant, ProvenKey, Validity},
    credentials::Issued,
    key::PodKey,
    trust::Trust,
};
use crate::model::{Identity, Pod, sample};

/// The trust domain of [`SampleCa::new`].
pub(crate) const TRUST_DOMAIN: &str = "cluster.local";

/// A CA of one root.
pub(crate) struct SampleCa {
    pub(crate) authority: Authority,
    pub(crate) trust_domain: Arc<str>,
    pub(crate) mesh_id: MeshId,
}

/// An intermediate authority as another program keeps it (PEM).
#[derive(Clone, Debug)]
pub(crate) struct SampleIssuer {
    pub(crate) roots: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

// === impl SampleIssuer ===

impl SampleIssuer {
    /// One under a root of its own.
    pub(crate) fn new() -> Self {
        let authority = |name: &str, constraint| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(constraint);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.use_authority_key_identifier_extension = true;
            (params, KeyPair::generate().expect("a key"))
        };
        let (root, root_key) = authority("A root of others", BasicConstraints::Unconstrained);
        let (intermediate, key) = authority("An issuer of others", BasicConstraints::Constrained(0));
        let roots = root.self_signed(&root_key).expect("a root").pem();
        let root = Issuer::from_params(&root, &root_key);
        let certificate = intermediate.signed_by(&key, &root).expect("signed").pem();
        // As our own writer has it: one newline after each line.
        let [roots, certificate] = [roots, certificate].map(|text| text.replace("\r\n", "\n"));
        Self {
            roots,
            certificate,
            key: key.serialize_pem(),
        }
    }
}

// === impl SampleCa ===

impl SampleCa {
    pub(crate) fn new() -> Self {
        Self::of(TRUST_DOMAIN)
    }

    /// A CA of another trust domain.
    pub(crate) fn of(trust_domain: &str) -> Self {
        Self {
            authority: Authority::create(trust_domain, an_hour()).expect("a root"),
            trust_domain: trust_domain.into(),
            mesh_id: MeshId::new(*b"mesh"),
        }
    }

    /// Certificates for these pods, valid for an hour, with their addresses.
    pub(crate) fn identities(&self, pods: &[&Pod]) -> Identities {
        let identities = self.nobody();
        for pod in pods {
            self.issue(&identities, &self.grant(pod), an_hour());
        }
        identities
    }

    /// What believes this CA and has no certificates yet.
    pub(crate) fn nobody(&self) -> Identities {
        let identities = Identities::none();
        self.trust(&identities, DenyList::default());
        identities.set_mesh_id(self.mesh_id);
        identities
    }

    /// Lets somebody believe this CA alone, and refuse these.
    pub(crate) fn trust(&self, identities: &Identities, denied: DenyList) {
        let roots = [self.authority.certificate().to_vec()];
        let trust = Trust::new(Arc::clone(&self.trust_domain), &roots, &[], denied);
        identities.set_trust(trust.expect("roots"));
    }

    /// Gives a pod a certificate.
    pub(super) fn issue(&self, identities: &Identities, grant: &Grant, validity: Validity) {
        identities.put(self.sign(grant, validity)).expect("usable");
    }

    pub(super) fn sign(&self, grant: &Grant, validity: Validity) -> Issued {
        let key = PodKey::generate().expect("a key");
        let proven = ProvenKey::of_request(&key.request().expect("a request")).expect("proven");
        let signed = self.authority.sign(grant, &proven, validity).expect("a certificate");
        Issued::new(&key, signed.chain).expect("usable")
    }

    pub(super) fn grant(&self, pod: &Pod) -> Grant {
        Grant {
            identity: Identity::new(&self.trust_domain, &pod.name.namespace, &pod.service_account),
            uid: pod.uid.clone(),
            ips: pod.ips.clone(),
            node: Some(sample::NODE.into()),
        }
    }
}

/// From now on for an hour.
pub(super) fn an_hour() -> Validity {
    Validity::starting(SystemTime::now(), Duration::from_secs(3600))
}

/// The ClientHello of a client that asks for this server and nothing else (RFC 8446, 4.1.2).
pub(crate) fn mk_hello(server: &str) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("short").to_be_bytes(), bytes].concat();
    let name = [&[0], &counted(server.as_bytes())[..]].concat();
    let extension = [&[0, 0], &counted(&counted(&name))[..]].concat();
    // A version, a random, no session, one cipher suite, no compression.
    let fields = [&[3; 34][..], &[0, 0, 2, 0x13, 1, 1, 0], &counted(&extension)].concat();
    [&[22, 3, 1][..], &counted(&[&[1, 0], &counted(&fields)[..]].concat())].concat()
}

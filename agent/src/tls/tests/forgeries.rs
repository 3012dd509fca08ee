//! Certificates and requests that no good CA signs, although its key might.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, PublicKeyData as _, SanType};

use super::{
    super::{certificate::Role, credentials::Issued, key::PodKey},
    *,
};
use crate::telemetry::Denied;

/// What stands in the certificates of this test beside what all have.
struct Forgery {
    uris: &'static [&'static str],
    dns: &'static [&'static str],
    usages: Vec<ExtendedKeyUsagePurpose>,
    validity: Validity,
}

impl Forgery {
    fn good() -> Self {
        Self {
            uris: &["spiffe://cluster.local/ns/default/sa/default"],
            dns: &["uid-cart.pod.cluster.local"],
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
            validity: an_hour(),
        }
    }

    fn sign(&self, ca: &SampleCa) -> Issued {
        let mut params = CertificateParams::default();
        let uris = self
            .uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().expect("ASCII")));
        let names = self
            .dns
            .iter()
            .map(|name| SanType::DnsName((*name).try_into().expect("ASCII")));
        params.subject_alt_names = uris.chain(names).collect();
        params.extended_key_usages.clone_from(&self.usages);
        (params.not_before, params.not_after) = (self.validity.not_before.into(), self.validity.not_after.into());
        params.use_authority_key_identifier_extension = true;
        let key = PodKey::generate().expect("a key");
        let der = ca.authority.sign_params(&params, &key).expect("signed");
        let like = ca.sign(&ca.grant(&mk_pod("cart", "10.0.0.1")), an_hour());
        Issued::forged(&key, der, &like)
    }
}

/// What a server says to such a client, and a client to such a server.
async fn judged(forgery: &Forgery) -> [Result<Established, TlsError>; 2] {
    let ca = SampleCa::new();
    let (cart, web) = (mk_pod("cart", "10.0.0.1"), mk_pod("web", "10.0.0.2"));
    let (theirs, ours) = (ca.nobody(), ca.identities(&[&web]));
    theirs.put(forgery.sign(&ca)).expect("usable");
    let (forged, good) = (of(&theirs, &cart), of(&ours, &web));
    let as_client = shake(&forged, &good, &expect(&web)).await.1;
    let as_server = shake(&good, &forged, &expect(&cart)).await.0;
    [as_client, as_server]
}

fn refused(judged: &Result<Established, TlsError>) -> Refused {
    match judged {
        Err(TlsError::Refused(refused)) => refused.clone(),
        other => panic!("it must be refused by the mesh's rules: {other:?}"),
    }
}

#[tokio::test]
async fn the_forger_himself_can_make_a_good_one() {
    for judged in judged(&Forgery::good()).await {
        judged.expect("a good certificate");
    }
}

#[tokio::test]
async fn two_uris_or_none_are_refused_at_both_ends() {
    let two: &[&str] = &[
        "spiffe://cluster.local/ns/default/sa/default",
        "spiffe://cluster.local/ns/admin/sa/admin",
    ];
    for (uris, count) in [(two, 2), (&[][..], 0)] {
        let forgery = Forgery {
            uris,
            ..Forgery::good()
        };
        for judged in judged(&forgery).await {
            assert_eq!(refused(&judged), Refused::Invalid(InvalidCertificate::Uris(count)));
        }
    }
}

#[tokio::test]
async fn who_presents_a_certificate_that_is_over_or_not_yet_begun_is_refused_at_both_ends() {
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    for (not_before, not_after) in [(now - 2 * hour, now - hour), (now + hour, now + 2 * hour)] {
        let forgery = Forgery {
            validity: Validity { not_before, not_after },
            ..Forgery::good()
        };
        for judged in judged(&forgery).await {
            assert_eq!(judged.expect_err("it is not valid").denied(), Denied::PeerNotVerified);
        }
    }
}

#[tokio::test]
async fn two_pods_in_one_certificate_are_refused_at_both_ends() {
    let forgery = Forgery {
        dns: &["uid-cart.pod.cluster.local", "uid-web.pod.cluster.local"],
        ..Forgery::good()
    };
    for judged in judged(&forgery).await {
        assert_eq!(refused(&judged), Refused::Invalid(InvalidCertificate::Pods(2)));
    }
}

#[tokio::test]
async fn a_certificate_serves_only_the_end_that_it_is_meant_for() {
    let only = |usage| Forgery {
        usages: vec![usage],
        ..Forgery::good()
    };
    let [as_client, as_server] = judged(&only(ExtendedKeyUsagePurpose::ServerAuth)).await;
    assert_eq!(as_client.expect_err("no client").denied(), Denied::PeerNotVerified);
    as_server.expect("a server");
    let [as_client, as_server] = judged(&only(ExtendedKeyUsagePurpose::ClientAuth)).await;
    as_client.expect("a client");
    assert_eq!(as_server.expect_err("no server").denied(), Denied::PeerNotVerified);
    let neither = Forgery {
        usages: Vec::new(),
        ..Forgery::good()
    };
    let [as_client, as_server] = judged(&neither).await;
    assert_eq!(
        refused(&as_client),
        Refused::Invalid(InvalidCertificate::Usage(Role::Client))
    );
    assert_eq!(
        refused(&as_server),
        Refused::Invalid(InvalidCertificate::Usage(Role::Server))
    );
}

#[test]
fn a_request_with_anothers_key_proves_nothing() {
    let [own, other] = [(), ()].map(|()| PodKey::generate().expect("a key"));
    let mut request = own.request().expect("a request");
    ProvenKey::of_request(&request).expect("its own key");
    let place = request
        .windows(own.der_bytes().len())
        .position(|part| part == own.der_bytes());
    let place = place.expect("the key stands in the request");
    request[place..place + own.der_bytes().len()].copy_from_slice(other.der_bytes());
    assert!(matches!(
        ProvenKey::of_request(&request),
        Err(InvalidRequest::Unproven(_))
    ));
}

#[test]
fn no_changed_byte_of_a_request_makes_it_panic() {
    let request = PodKey::generate().expect("a key").request().expect("a request");
    for place in 0..request.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut changed = request.clone();
            changed[place] = value;
            if changed != request {
                let _ = ProvenKey::of_request(&changed);
            }
        }
        assert!(ProvenKey::of_request(&request[..place]).is_err());
    }
}

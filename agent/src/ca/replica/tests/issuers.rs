//! Replicas that sign with an authority which something else makes.

use super::*;
use crate::tls::sample::SampleIssuer;

fn put(cluster: &Cluster, issuer: &SampleIssuer) -> IssuerFiles {
    IssuerFiles {
        roots: cluster.file("ca.crt", &issuer.roots),
        certificate: cluster.file("tls.crt", &issuer.certificate),
        key: cluster.file("tls.key", &issuer.key),
    }
}

#[tokio::test]
async fn an_authority_from_files_signs_and_is_followed_when_the_files_change() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let cart = sample::mk_pod("cart", "10.0.0.1");
    cluster.put(&[(&cart, "node-1")]);
    let (old, new) = (SampleIssuer::new(), SampleIssuer::new());
    let files = put(&cluster, &old);
    let address = cluster.replica("127.0.0.1:0", Some(files)).await;
    assert_eq!(cluster.bundle().await, old.roots);
    let remote = cluster.remote(&address, "node-1", &cluster.agent_token("node-1")).await;
    let agent = cluster.agent(remote.clone(), std::slice::from_ref(&cart));
    let held = agent.identities.issued(&cart.uid).await;
    let error = cluster.state().rotate().await.expect_err("it is not the CA's own root");
    assert!(matches!(error, CaServerError::ForeignRoots), "{error}");
    put(&cluster, &new);
    let renewed = || {
        let now = agent.identities.of(&cart.uid);
        now.is_some_and(|now| now.authority() != held.authority())
    };
    until("a certificate of the new authority", renewed).await;
    let peer = crate::tls::Peer::of_credentials(&held);
    assert!(!agent.identities.refuses(&peer), "what the old one has signed holds");
    assert_eq!(cluster.bundle().await, format!("{}{}", old.roots, new.roots));
}

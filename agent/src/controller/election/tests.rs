//! Who may take a Lease, before a real API server.

use super::*;
use crate::cluster::ApiServer;

fn stand(server: &ApiServer, name: &str) -> Election {
    Election::new(Lease::new(server, "weft-system", "weft-controller"), name)
}

#[tokio::test]
async fn one_leads_and_another_one_follows_when_it_resigns_or_is_silent() {
    let api = harness::api_server!();
    api.apply(NAMESPACE);
    let server = ApiServer::new(Some(api.kubeconfig())).await.expect("a client");
    let (mut one, mut two, mut three) = (stand(&server, "one"), stand(&server, "two"), stand(&server, "three"));
    assert!(one.attempt().await, "nobody has it");
    assert!(!two.attempt().await, "it is held");
    assert!(one.attempt().await, "its holder renews it");
    assert!(!two.attempt().await, "it was renewed");
    one.resign().await.expect("resigned");
    assert!(two.attempt().await, "it is free");
    assert!(!one.attempt().await, "it is another's");
    // The second is silent from here on. Whatever its clock has written, it is waited for by this process' own.
    assert!(!three.attempt().await);
    let seen = three.seen.clone().expect("another's");
    let found = three.lease.read().await.expect("read").expect("a Lease");
    assert_eq!(three.judge(Some(&found), seen.since + DURATION), Move::Wait);
    let later = seen.since + DURATION + Duration::from_millis(1);
    assert_eq!(three.judge(Some(&found), later), Move::Take);
    assert!(RENEWED < DURATION, "the holder gives up before another one takes it");
}

const NAMESPACE: &str = include_str!("../../../../deploy/namespace.yaml");

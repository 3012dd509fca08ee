//! Which agents attend, and what becomes of them when the API server or a replica is away.

use super::*;
use crate::tls::{
    Denial,
    issue::{Ca as _, CaError},
};

async fn refused(remote: &Remote) -> String {
    match remote.attend().await {
        Ok(_) => panic!("the CA must refuse"),
        Err(CaError::Refused(reason)) => reason,
        Err(error) => panic!("refused otherwise: {error:?}"),
    }
}

#[tokio::test]
async fn replicas_that_start_at_once_are_one_ca_of_which_each_issues() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let (cart, web) = (sample::mk_pod("cart", "10.0.0.1"), sample::mk_pod("web", "fd00::2"));
    cluster.put(&[(&cart, "node-1"), (&web, "node-2")]);
    let replica = |server: &ApiServer| {
        let settings = ReplicaSettings {
            server: server.clone(),
            namespace: "weft-system".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            issuer: None,
        };
        Replica::open(settings, HOUR)
    };
    let server = cluster.server.clone();
    let (one, two, three) = tokio::join!(replica(&server), replica(&server), replica(&server));
    let roots = [one, two, three].map(|replica| replica.expect("a replica").live().borrow().bundle.roots.clone());
    assert!(
        roots.iter().all(|of_replica| of_replica == &roots[0]),
        "one of them has made the root"
    );
    let (one, two) = (
        cluster.replica("127.0.0.1:0", None).await,
        cluster.replica("[::1]:0", None).await,
    );
    let agent_1 = cluster.remote(&one, "node-1", &cluster.agent_token("node-1")).await;
    let agent_1 = cluster.agent(agent_1, &[cart.clone(), web.clone()]);
    let agent_2 = cluster.remote(&two, "node-2", &cluster.agent_token("node-2")).await;
    let agent_2 = cluster.agent(agent_2, std::slice::from_ref(&web));
    let held = agent_1.identities.issued(&cart.uid).await;
    assert_eq!(held.ips(), cart.ips);
    assert_eq!(held.authority(), agent_2.identities.issued(&web.uid).await.authority());
    let mut status = agent_1.status.clone();
    let status = status
        .wait_for(|status| !status.refusals.is_empty())
        .await
        .expect("a keeper");
    assert_eq!(&*status.refusals[&web.uid], "the pod is not on this node");
}

#[tokio::test]
async fn the_pods_of_the_cluster_are_followed_from_label_to_end() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    cluster.api.apply(SHOP);
    let roster = FollowedRoster::of_cluster(&cluster.server).await;
    let address = cluster.replica_with("127.0.0.1:0", None, roster.clone()).await;
    let uid = cluster.api.kubectl(&[
        "get",
        "pod",
        "cart",
        "--namespace=shop",
        "--output=jsonpath={.metadata.uid}",
    ]);
    let cart = Pod {
        uid: PodUid::new(uid.stdout),
        name: ObjectName::new("shop", "cart"),
        service_account: "cart".into(),
        ..sample::mk_pod("cart", "10.1.0.7")
    };
    let remote = cluster.remote(&address, "node-1", &cluster.agent_token("node-1")).await;
    let agent = cluster.agent(remote, std::slice::from_ref(&cart));
    let mut status = agent.status.clone();
    let refused = status
        .wait_for(|status| !status.refusals.is_empty())
        .await
        .expect("a keeper")
        .clone();
    assert!(
        refused.refusals[&cart.uid].contains("not in the mesh"),
        "{:?}",
        refused.refusals
    );
    let label = |value: &str| {
        cluster
            .api
            .kubectl(&["label", "namespace", "shop", "--overwrite", value])
    };
    assert_eq!(label("weft.dev/mesh=enabled").code, Some(0));
    let held = agent.identities.issued(&cart.uid).await;
    assert_eq!(held.identity().to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    // The status shows an address of the node's range, and one that is not.
    let ips = "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.1.0.7\",\"podIPs\":[{\"ip\":\"10.1.0.7\"}]}}";
    let patch = format!("--patch={ips}");
    let arguments = [
        "patch",
        "pod",
        "cart",
        "--namespace=shop",
        "--subresource=status",
        "--type=merge",
        &patch,
    ];
    assert_eq!(cluster.api.kubectl(&arguments).code, Some(0));
    until("the address", || {
        roster.now().pods.get(&cart.uid).is_some_and(|pod| pod.ips == cart.ips)
    })
    .await;
    assert_eq!(
        roster.now().pod_cidrs["node-1"],
        ["10.1.0.0/24".parse().expect("a range")]
    );
    assert_eq!(
        cluster
            .api
            .kubectl(&["delete", "pod", "cart", "--namespace=shop", "--force"])
            .code,
        Some(0)
    );
    until("its end", || !roster.now().pods.contains_key(&cart.uid)).await;
    cluster.api.kill();
    until("the API server away", || !roster.is_fresh()).await;
    cluster.api.start_again();
    until("the API server back", || roster.is_fresh()).await;
}

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cart, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop}
spec:
  nodeName: node-1
  serviceAccountName: cart
  automountServiceAccountToken: false
  containers: [{name: cart, image: cart}]
";

#[tokio::test]
async fn only_the_agent_of_a_node_attends_for_it() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let address = cluster.replica("127.0.0.1:0", None).await;
    let good = cluster.agent_token("node-1");
    let remote = |node: &'static str, token: String| {
        let cluster = &cluster;
        let address = address.clone();
        async move { cluster.remote(&address, node, &token).await }
    };
    remote("node-1", good.clone())
        .await
        .attend()
        .await
        .expect("it is that agent");
    let elsewhere = refused(&remote("node-2", good.clone()).await).await;
    assert!(elsewhere.contains("not on the node node-2"), "{elsewhere}");
    let audience = refused(&remote("node-1", cluster.token("weft-agent", &[])).await).await;
    assert!(audience.contains("does not know the token"), "{audience}");
    let unbound = cluster.token("weft-agent", &["--audience=weft-ca"]);
    let unbound = refused(&remote("node-1", unbound).await).await;
    assert!(unbound.contains("bound to no pod"), "{unbound}");
    let other = cluster.token("weft-ca", &["--audience=weft-ca"]);
    let other = refused(&remote("node-1", other).await).await;
    assert!(other.contains("weft-system/weft-ca, and not of an agent"), "{other}");
    let invented = refused(&remote("node-1", "aaaa.bbbb.cccc".to_owned()).await).await;
    assert!(invented.contains("does not know the token"), "{invented}");
    // A pod that was deleted takes its tokens with it, and its stream.
    let mut open = remote("node-1", good).await.attend().await.expect("it is that agent");
    let deleted = cluster
        .api
        .kubectl(&["delete", "pod", "agent-node-1", "--namespace=weft-system", "--force"]);
    assert_eq!(deleted.code, Some(0), "{}", deleted.stderr);
    cluster.roster.send_modify(|roster| Arc::make_mut(roster).pods.clear());
    let ended = timeout(PATIENCE, async { while open.answers.recv().await.is_some() {} }).await;
    ended.expect("its stream ends");
}

#[tokio::test]
async fn a_ca_under_another_root_than_the_bundles_is_told_no_token() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let address = cluster.replica("127.0.0.1:0", None).await;
    let remote = cluster.remote(&address, "node-1", &cluster.agent_token("node-1")).await;
    let foreign = crate::tls::sample::SampleIssuer::new();
    cluster.file("bundle.pem", &foreign.roots);
    let error = remote.attend().await.expect_err("it is not the bundle's");
    assert!(matches!(error, CaError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn while_the_api_server_is_away_known_agents_come_back_and_others_are_told_why_not() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let cart = sample::mk_pod("cart", "10.0.0.1");
    cluster.put(&[(&cart, "node-1")]);
    let address = cluster.replica("127.0.0.1:0", None).await;
    let (known, unknown) = (cluster.agent_token("node-1"), cluster.agent_token("node-2"));
    let known = cluster.remote(&address, "node-1", &known).await;
    let unknown = cluster.remote(&address, "node-2", &unknown).await;
    known.attend().await.expect("it is known from here on");
    cluster.api.kill();
    let error = unknown.attend().await.expect_err("nobody can say");
    let CaError::Unavailable(reason) = error else {
        panic!("another reason: {error:?}");
    };
    assert!(reason.contains("the API server does not answer"), "{reason}");
    let agent = cluster.agent(known, std::slice::from_ref(&cart));
    agent.identities.issued(&cart.uid).await;
    cluster.api.start_again();
    unknown.attend().await.expect("it can be asked again");
}

#[tokio::test]
async fn an_agent_goes_on_with_another_replica_when_its_own_is_killed() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let (cart, web) = (sample::mk_pod("cart", "10.0.0.1"), sample::mk_pod("web", "10.0.0.2"));
    cluster.put(&[(&cart, "node-1"), (&web, "node-1")]);
    let first = cluster.replica("127.0.0.1:0", None).await;
    let second = cluster.replica("[::1]:0", None).await;
    let address = cluster.service(&[&first, &second]).await;
    let remote = cluster.remote(&address, "node-1", &cluster.agent_token("node-1")).await;
    let agent = cluster.agent(remote.clone(), std::slice::from_ref(&cart));
    agent.identities.issued(&cart.uid).await;
    cluster.running[0].abort();
    let late = cluster.agent(remote, std::slice::from_ref(&web));
    late.identities.issued(&web.uid).await;
}

#[tokio::test]
async fn operators_change_the_deny_list_of_all_replicas_and_make_no_tokens() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    let cart = sample::mk_pod("cart", "10.0.0.1");
    cluster.put(&[(&cart, "node-1")]);
    let absent = cluster.state().show().await.expect_err("there is none yet");
    assert!(matches!(absent, CaServerError::NotInCluster), "{absent}");
    let address = cluster.replica("127.0.0.1:0", None).await;
    let remote = cluster.remote(&address, "node-1", &cluster.agent_token("node-1")).await;
    let agent = cluster.agent(remote, std::slice::from_ref(&cart));
    let held = agent.identities.issued(&cart.uid).await;
    let peer = crate::tls::Peer::of_credentials(&held);
    let denial = Denial::Pod(cart.uid.clone());
    cluster.state().change_denials(&denial, true).await.expect("denied");
    until("the denial", || agent.identities.refuses(&peer)).await;
    assert_eq!(
        cluster.state().show().await.expect("shown").denied,
        [denial.to_string()]
    );
    cluster.state().change_denials(&denial, false).await.expect("allowed");
    until("the denial gone", || !agent.identities.refuses(&peer)).await;
    let error = cluster.state().make_token("node-1", HOUR).expect_err("there are none");
    assert!(matches!(error, CaServerError::TokenInCluster), "{error}");
}

#[tokio::test]
async fn what_others_delete_or_change_is_put_back() {
    let mut cluster = Cluster::new(harness::api_server!()).await;
    cluster.replica("127.0.0.1:0", None).await;
    let bundle = cluster.bundle().await;
    let before = cluster.state().show().await.expect("shown");
    let change = |arguments: &[&str]| {
        let arguments = [arguments, &["--namespace=weft-system"]].concat();
        assert_eq!(cluster.api.kubectl(&arguments).code, Some(0));
    };
    change(&[
        "patch",
        "configmap",
        "weft-ca-bundle",
        "--type=merge",
        "--patch={\"data\":{\"bundle.pem\":\"x\"}}",
    ]);
    let now = || cluster.get(&["configmap", "weft-ca-bundle", "--output=jsonpath={.data.bundle\\.pem}"]);
    until("the bundle as it was", || now() == bundle).await;
    change(&["delete", "secret", "weft-ca"]);
    until("the Secret", || {
        !cluster.get(&["secret", "weft-ca", "--ignore-not-found"]).is_empty()
    })
    .await;
    assert_eq!(cluster.state().show().await.expect("shown"), before);
}

//! Controllers before a real API server: what the leader does, whoever it is.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::timeout;

use super::*;
use crate::cluster::{ApiServer, Lease, RotationBoard, RotationStage};

/// A client that may do what the controller may, before what is installed and two nodes with agents.
async fn client(api: &harness::ApiServer) -> ApiServer {
    for objects in OBJECTS {
        api.apply(objects);
    }
    let kubeconfig = api.kubeconfig_of("system:serviceaccount:weft-system:weft-controller", None);
    ApiServer::new(Some(&kubeconfig)).await.expect("a client")
}

fn controller(server: &ApiServer, name: &str) -> Controller {
    let metrics = ControllerMetrics::default();
    let election = Election::new(Lease::new(server, "weft-system", "weft-controller"), name);
    Controller::new(
        election,
        Duties::follow(server, "weft-system", metrics.clone()),
        metrics,
    )
}

async fn until(what: &str, mut such: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(60), async {
        while !such() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_elapsed| panic!("waited in vain for {what}"));
}

#[tokio::test]
async fn a_node_takes_pods_when_its_agent_is_ready_whoever_leads() {
    let api = harness::api_server!();
    let server = client(&api).await;
    let taints = |node: &str| {
        api.kubectl(&["get", "node", node, "--output=jsonpath={.spec.taints[*].key}"])
            .stdout
    };
    let ready = |node: &str| {
        let patch = "--patch={\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";
        let pod = format!("agent-{node}");
        let arguments = [
            "patch",
            "pod",
            &pod,
            "--namespace=weft-system",
            "--subresource=status",
            "--type=merge",
            patch,
        ];
        let patched = api.kubectl(&arguments);
        assert_eq!(patched.code, Some(0), "{}", patched.stderr);
    };
    assert!(
        taints("node-1").contains("weft.dev/agent-not-ready"),
        "{}",
        taints("node-1")
    );
    let mut first = controller(&server, "first");
    let first = tokio::spawn(async move { first.run().await });
    ready("node-1");
    until("the taint gone", || !taints("node-1").contains("weft.dev")).await;
    assert!(taints("node-1").contains("other"), "that is not the mesh's");
    assert!(
        taints("node-2").contains("weft.dev/agent-not-ready"),
        "its agent is not ready"
    );
    // Another leader goes on where the killed one has stopped.
    first.abort();
    let mut second = controller(&server, "second");
    let second = tokio::spawn(async move { second.run().await });
    ready("node-2");
    until("the taint gone", || !taints("node-2").contains("weft.dev")).await;
    second.abort();
}

#[tokio::test]
async fn a_rotation_is_decided_when_every_agent_has_told_and_who_lacks_is_named() {
    let api = harness::api_server!();
    let server = client(&api).await;
    let board = RotationBoard::new(&server, "weft-system");
    let stage = RotationStage {
        bundle: 3,
        since: 0,
        step: 0,
        patience: u64::MAX,
    };
    let before = board.read().await.expect("read");
    board.begin(stage, &before).await.expect("begun");
    board
        .tell_taken(&BTreeMap::from([("node-1".into(), 3)]))
        .await
        .expect("told");
    let mut leader = controller(&server, "leader");
    let running = tokio::spawn(async move { leader.run().await });
    let decided = |advance: bool| {
        let board = board.clone();
        async move {
            let waited = timeout(Duration::from_secs(60), async {
                loop {
                    let decision = board.read().await.expect("read").decision;
                    if let Some(decision) = decision.filter(|decision| decision.advance == advance) {
                        return decision;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            });
            waited.await.expect("a decision")
        }
    };
    assert_eq!(decided(false).await.waits_for, ["node-2"].map(Arc::from).into());
    board
        .tell_taken(&BTreeMap::from([("node-2".into(), 4)]))
        .await
        .expect("told");
    assert_eq!(decided(true).await.waits_for, [].into());
    running.abort();
}

#[tokio::test]
async fn policies_are_told_what_became_of_them_once_and_anew_when_something_changes() {
    let api = harness::api_server!();
    let server = client(&api).await;
    for kind in CRDS {
        api.apply(kind);
    }
    let served = || api.kubectl(&["get", "authenticationpolicies", "--all-namespaces"]).code == Some(0);
    until("the kinds", served).await;
    api.apply(POLICIES);
    let told = |path: &str| {
        let path = format!("--output=jsonpath={path}");
        api.kubectl(&[
            "get",
            "authenticationpolicy",
            "strict",
            "--namespace=weft-system",
            &path,
        ])
        .stdout
    };
    let accepted = || told("{.status.ancestors[0].conditions[?(@.type==\"Accepted\")].reason}");
    let mut leader = controller(&server, "leader");
    let written = leader.metrics.clone();
    let running = tokio::spawn(async move { leader.run().await });
    until("a missing target", || accepted() == "TargetNotFound").await;
    api.apply(SERVICE);
    until("an accepted policy", || accepted() == "Accepted").await;
    let (version, count) = (told("{.metadata.resourceVersion}"), written.statuses_written());
    assert_eq!(told("{.status.ancestors[0].conditions[0].observedGeneration}"), "1");
    // What is none of the policy's business writes nothing.
    let label = ["label", "service", "web", "--namespace=weft-system", "some=label"];
    assert_eq!(api.kubectl(&label).code, Some(0));
    let patch = "--patch={\"spec\":{\"mtls\":{\"mode\":\"Permissive\"}}}";
    let arguments = [
        "patch",
        "authenticationpolicy",
        "other",
        "--namespace=weft-system",
        "--type=merge",
        patch,
    ];
    assert_eq!(api.kubectl(&arguments).code, Some(0));
    until("the other policy told", || written.statuses_written() > count).await;
    assert_eq!(told("{.metadata.resourceVersion}"), version);
    running.abort();
}

#[tokio::test]
async fn routes_are_told_whether_they_decide_also_when_their_kind_comes_later() {
    let api = harness::api_server!();
    let server = client(&api).await;
    let mut leader = controller(&server, "leader");
    let running = tokio::spawn(async move { leader.run().await });
    api.apply(include_str!("tests/httproutes.yaml"));
    let served = || api.kubectl(&["get", "httproutes", "--all-namespaces"]).code == Some(0);
    until("the kind", served).await;
    api.apply(ROUTE);
    let told = |condition: &str| {
        let path = format!(
            "--output=jsonpath={{.status.parents[0].conditions[?(@.type==\"{condition}\")]['reason','observedGeneration']}}"
        );
        api.kubectl(&["get", "httproute", "web", "--namespace=weft-system", &path])
            .stdout
    };
    until("a missing parent", || told("Accepted") == "NoMatchingParent 1").await;
    assert_eq!(told("ResolvedRefs"), "BackendNotFound 1");
    api.apply(SERVICE);
    until("an accepted route", || told("Accepted") == "Accepted 1").await;
    assert_eq!(told("ResolvedRefs"), "ResolvedRefs 1");
    running.abort();
}

#[tokio::test]
async fn the_mesh_config_is_told_whether_it_holds_and_where_it_does_not() {
    let api = harness::api_server!();
    let server = client(&api).await;
    // The kind as a later version has it, whose values this one does not know.
    let [.., kind] = CRDS;
    let later = kind.replace("- Deny\n", "- Deny\n                - Audit\n");
    assert_ne!(later, kind);
    api.apply(&later);
    let served = || api.kubectl(&["get", "meshconfigs"]).code == Some(0);
    until("the kind", served).await;
    let write = |egress: &str| {
        api.apply(&format!(
            "{{apiVersion: mesh.weft.dev/v1alpha1, kind: MeshConfig, metadata: {{name: default}}, spec: {{egress: {egress}}}}}"
        ));
    };
    let told = |field: &str| {
        let path = format!("--output=jsonpath={{.status.conditions[?(@.type==\"Accepted\")][{field}]}}");
        api.kubectl(&["get", "meshconfig", "default", &path]).stdout
    };
    let reason = || told("'status','reason','observedGeneration'");
    write("Deny");
    let mut leader = controller(&server, "leader");
    let running = tokio::spawn(async move { leader.run().await });
    until("an accepted one", || reason() == "True Accepted 1").await;
    write("Audit");
    until("a refused one", || reason() == "False Invalid 2").await;
    let message = told("'message'");
    assert!(
        message.starts_with("spec.egress: ") && message.contains("`Audit`"),
        "{message}"
    );
    write("Allow");
    until("a mended one", || reason() == "True Accepted 3").await;
    running.abort();
}

/// What is installed, as far as the controller needs it, and agents on two nodes.
const OBJECTS: [&str; 4] = [
    include_str!("../../../deploy/namespace.yaml"),
    include_str!("../../../deploy/agent.yaml"),
    include_str!("../../../deploy/controller.yaml"),
    include_str!("tests/agents.yaml"),
];

const CRDS: [&str; 3] = [
    include_str!("../../../deploy/crds/authenticationpolicies.mesh.weft.dev.yaml"),
    include_str!("../../../deploy/crds/authorizationpolicies.mesh.weft.dev.yaml"),
    include_str!("../../../deploy/crds/meshconfigs.mesh.weft.dev.yaml"),
];

const POLICIES: &str = "
apiVersion: mesh.weft.dev/v1alpha1
kind: AuthenticationPolicy
metadata: {name: strict, namespace: weft-system}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  mtls: {mode: Strict}
---
apiVersion: mesh.weft.dev/v1alpha1
kind: AuthenticationPolicy
metadata: {name: other, namespace: weft-system}
spec:
  selector: {matchLabels: {app: other}}
  mtls: {mode: Strict}
";

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: weft-system}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
";

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: weft-system}
spec:
  ports: [{port: 80}]
";

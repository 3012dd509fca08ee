//! What `kubectl apply -k deploy` installs, as a real API server sees it, and what `weft check` and `weft status` say of it.

use std::process::Command;

use harness::{ApiServer, Outcome, api_server};
use serde_json::{Value, json};

#[test]
fn the_api_server_takes_every_object_without_a_warning() {
    let api: ApiServer = api_server!();
    // What it does not know it cannot judge: kinds and namespaces first.
    apply(&api, "crds", &["--filename"]);
    for namespace in ["weft-system", "shop"] {
        api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).to_string());
    }
    for folder in [".", "examples", "uninstall"] {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
        ];
        let outcome = api.kubectl(&[&arguments[..], &["--kustomize", &deploy(folder)]].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{folder}");
    }
}

#[test]
fn each_service_account_may_do_what_it_must_and_nothing_else() {
    let api: ApiServer = api_server!();
    apply(&api, ".", &["--kustomize"]);
    for (account, what, allowed) in [
        ("weft-agent", &["watch", "pods", "--all-namespaces"][..], true),
        ("weft-agent", &["list", "endpointslices", "--all-namespaces"], true),
        (
            "weft-agent",
            &["watch", "authorizationpolicies", "--all-namespaces"],
            true,
        ),
        ("weft-agent", &["create", "events", "--namespace=shop"], true),
        ("weft-agent", &["get", "secrets", "--namespace=weft-system"], false),
        ("weft-agent", &["patch", "nodes"], false),
        ("weft-agent", &["create", "pods/exec", "--namespace=shop"], false),
        ("weft-agent", &["create", "tokenreviews"], false),
        ("weft-ca", &["create", "tokenreviews"], true),
        (
            "weft-ca",
            &["update", "secrets/weft-ca", "--namespace=weft-system"],
            true,
        ),
        (
            "weft-ca",
            &["patch", "configmaps/weft-ca-rotation", "--namespace=weft-system"],
            true,
        ),
        ("weft-ca", &["get", "secrets/other", "--namespace=weft-system"], false),
        ("weft-ca", &["list", "secrets", "--all-namespaces"], false),
        ("weft-controller", &["patch", "nodes"], true),
        (
            "weft-controller",
            &["update", "leases/weft-controller", "--namespace=weft-system"],
            true,
        ),
        (
            "weft-controller",
            &[
                "patch",
                "authorizationpolicies",
                "--subresource=status",
                "--namespace=shop",
            ],
            true,
        ),
        (
            "weft-controller",
            &["patch", "authorizationpolicies", "--namespace=shop"],
            false,
        ),
        (
            "weft-controller",
            &["patch", "meshconfigs", "--subresource=status"],
            true,
        ),
        ("weft-controller", &["patch", "meshconfigs"], false),
        ("weft-agent", &["patch", "meshconfigs", "--subresource=status"], false),
        (
            "weft-controller",
            &["get", "secrets/weft-ca", "--namespace=weft-system"],
            false,
        ),
    ] {
        let user = format!("--as=system:serviceaccount:weft-system:{account}");
        let may = api.kubectl(&[&["auth", "can-i", &user], what].concat());
        assert_eq!(may.code == Some(0), allowed, "{account} {what:?}: {}", may.stdout);
    }
}

#[test]
fn check_tells_what_a_cluster_lacks_and_status_shows_what_it_has() {
    let api: ApiServer = api_server!();
    let bare = weft(&api, &["check", "--pre", "--json"]);
    assert_eq!(bare.code, Some(0), "{}", bare.stdout);
    assert_eq!(found(&bare, "kinds"), []);
    apply(&api, ".", &["--kustomize"]);
    mk_shop(&api);
    let checked = weft(&api, &["check", "--json"]);
    assert_eq!(checked.code, Some(3), "{}{}", checked.stdout, checked.stderr);
    // No node runs anything here: what the API server has is all that is judged.
    assert_eq!(found(&checked, "agent"), [("node-1".to_owned(), "bad".to_owned())]);
    assert_eq!(
        found(&checked, "root"),
        [("weft-ca-bundle".to_owned(), "bad".to_owned())]
    );
    assert_eq!(found(&checked, "pod"), [("shop/cart".to_owned(), "bad".to_owned())]);
    let status = weft(&api, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(
        status["namespaces"],
        json!([{"name": "shop", "enrolled": true, "pods": 1, "protected": 0}])
    );
    assert_eq!(
        status["unprotected"],
        json!([{"pod": "shop/cart", "node": "node-1", "reason": "no_agent"}])
    );
    let table = weft(&api, &["status"]).stdout;
    assert!(table.contains("node-1") && table.contains("0 of 0 ready"), "{table}");
}

#[test]
fn a_cluster_that_does_not_answer_is_an_error() {
    let mut api: ApiServer = api_server!();
    api.kill();
    assert_eq!(weft(&api, &["check"]).code, Some(1));
    assert_eq!(weft(&api, &["status"]).code, Some(1));
}

/// A node without an agent, and an enrolled pod on it.
fn mk_shop(api: &ApiServer) {
    for object in [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"weft.dev/mesh": "enabled"}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "shop"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}),
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"nodeName": "node-1", "automountServiceAccountToken": false, "containers": [{"name": "a", "image": "a"}]},
        }),
    ] {
        api.apply(&object.to_string());
    }
}

/// About what a check has told something, and what.
fn found(outcome: &Outcome, check: &str) -> Vec<(String, String)> {
    let rows: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter()
        .filter(|row| row["check"] == check)
        .map(|row| (text(row, "about"), text(row, "outcome")))
        .collect()
}

fn apply(api: &ApiServer, folder: &str, how: &[&str]) {
    let path = deploy(folder);
    let arguments = [&["apply", "--server-side"], how, &[path.as_str()]].concat();
    let applied = api.kubectl(&arguments);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let served = api.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    assert_eq!(served.code, Some(0), "{}", served.stderr);
}

fn deploy(folder: &str) -> String {
    format!("{}/../deploy/{folder}", env!("CARGO_MANIFEST_DIR"))
}

fn weft(api: &ApiServer, arguments: &[&str]) -> Outcome {
    let mut weft = Command::new(harness::weft());
    weft.args(arguments).arg("--kubeconfig").arg(api.kubeconfig());
    weft.output().unwrap().into()
}

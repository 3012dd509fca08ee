//! The API server which tests of the cluster's side talk to: it judges as a real cluster's does.

use harness::{ApiServer, Lab, api_server};
use serde_json::{Value, json};

#[test]
fn what_is_applied_is_kept_while_the_server_is_gone() {
    let mut api: ApiServer = api_server!();
    api.apply(&namespace("shop").to_string());
    api.kill();
    assert_ne!(api.kubectl(&["get", "namespace", "shop"]).code, Some(0));
    api.start_again();
    assert_eq!(api.kubectl(&["get", "namespace", "shop"]).code, Some(0));
}

#[test]
fn a_user_may_do_what_is_granted_and_nothing_else() {
    let api: ApiServer = api_server!();
    api.apply(&namespace("shop").to_string());
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": "shop"},
        "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    });
    [role, binding].iter().for_each(|object| api.apply(&object.to_string()));
    let jane = api.kubeconfig_of("jane", None);
    let may = |verb: &str, kind: &str| {
        let kubeconfig = format!("--kubeconfig={}", jane.display());
        api.kubectl(&[&kubeconfig, "auth", "can-i", verb, kind, "--namespace=shop"])
            .code
            == Some(0)
    };
    assert_eq!(
        [may("list", "services"), may("list", "pods"), may("delete", "services")],
        [true, false, false]
    );
}

#[test]
fn services_have_addresses_of_both_families_where_they_want_them() {
    let lab = Lab::new();
    let api: ApiServer = api_server!(lab.api_server());
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": "default"},
        "spec": {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]},
    });
    api.apply(&service.to_string());
    let shown = api.kubectl(&["get", "service", "cart", "--output=json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    // Nodes reach it.
    let node = lab.node("one");
    let answer = node
        .netns()
        .sh(&format!("curl --silent --insecure {}/livez", api.url()));
    assert_eq!(answer, "ok");
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

//! Pods of every sort.

use serde_json::json;

use super::*;

fn mk_namespace(name: &str, label: Option<&str>) -> Namespace {
    let labels = label.map(|label| json!({"weft.dev/mesh": label}));
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

fn mk_pod(name: &str, node: &str, labels: &serde_json::Value, host_network: bool) -> Pod {
    let (namespace, name) = name.split_once('/').unwrap();
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels},
        "spec": {"nodeName": node, "hostNetwork": host_network, "containers": [{"name": "a"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
    }))
    .unwrap()
}

fn mk_agents(node: &str, ready: bool) -> (String, Vec<ReplicaFact>) {
    let agent = ReplicaFact {
        pod: format!("weft-agent-{node}"),
        ready,
        version: "0.1.0".into(),
    };
    (node.to_owned(), vec![agent])
}

#[test]
fn pods_that_no_agent_carries_are_told_with_the_reason() {
    let none = json!({});
    let sorted = sort(
        vec![
            mk_namespace("shop", Some("enabled")),
            mk_namespace("plain", None),
            mk_namespace("empty", Some("enabled")),
        ],
        &[
            mk_pod("shop/good", "ready", &none, false),
            mk_pod("shop/host", "ready", &none, true),
            mk_pod("shop/out", "ready", &json!({"weft.dev/mesh": "disabled"}), false),
            mk_pod("shop/early", "starting", &none, false),
            mk_pod("shop/alone", "bare", &none, false),
            mk_pod("plain/own", "ready", &json!({"weft.dev/mesh": "enabled"}), false),
            mk_pod("plain/other", "bare", &none, false),
        ],
        &BTreeMap::from([mk_agents("ready", true), mk_agents("starting", false)]),
    );
    let told: Vec<(&str, Why)> = sorted
        .unprotected
        .iter()
        .map(|pod| (pod.pod.as_str(), pod.reason))
        .collect();
    assert_eq!(
        told,
        [
            ("shop/alone", Why::NoAgent),
            ("shop/early", Why::AgentNotReady),
            ("shop/host", Why::HostNetwork),
            ("shop/out", Why::OptedOut),
        ]
    );
    let counted: Vec<(&str, bool, usize, usize)> = sorted
        .namespaces
        .iter()
        .map(|fact| (fact.name.as_str(), fact.enrolled, fact.pods, fact.protected))
        .collect();
    assert_eq!(
        counted,
        [("empty", true, 0, 0), ("plain", false, 1, 1), ("shop", true, 5, 1)]
    );
    let by_node: Vec<(&str, usize)> = sorted
        .by_node
        .iter()
        .map(|(node, count)| (node.as_str(), *count))
        .collect();
    assert_eq!(by_node, [("bare", 1), ("ready", 2), ("starting", 1)]);
}

//! Weft's own parts, as an operator reaches them: its pods, and `weft debug` in them.

use std::collections::BTreeSet;

use harness::wait;
use serde_json::Value;

use crate::world::{PATIENCE, kubectl};

/// Runs `kubectl` in Weft's namespace.
pub(crate) fn system(arguments: &[&str]) -> Result<String, String> {
    let all = [&["--namespace=weft-system"][..], arguments].concat();
    kubectl().run(&all).map_err(|error| format!("{error:#}"))
}

/// The names of the pods of one of Weft's parts that run and are not on their way out.
pub(crate) fn pods_of(part: &str) -> BTreeSet<String> {
    items(part, &[]).filter_map(|pod| name(&pod)).collect()
}

/// Runs `weft debug --json` in the agent of a node.
pub(crate) fn debug(node: &str, arguments: &[&str]) -> Result<Value, String> {
    let on_node = format!("--field-selector=spec.nodeName={node}");
    let agent = items("weft-agent", &[&on_node]).find_map(|pod| name(&pod));
    let agent = agent.ok_or_else(|| format!("no agent on {node}"))?;
    let printed = system(&[&["exec", &agent, "--", "/weft", "debug", "--json"], arguments].concat())?;
    serde_json::from_str(&printed).map_err(|error| format!("{error}: {printed}"))
}

/// What a node's agent says of a pod.
pub(crate) fn pod_row(node: &str, uid: &str) -> Option<Value> {
    let shown = wait::until_some(PATIENCE, "an agent that tells its pods", || {
        debug(node, &["pod", "show"]).ok()
    });
    let rows = shown.as_array().expect("rows").clone();
    rows.into_iter().find(|row| row["uid"] == uid)
}

/// Waits until a part of Weft is as its object says.
pub(crate) fn until_ready(part: &str) {
    let patience = format!("--timeout={}s", PATIENCE.as_secs());
    system(&["rollout", "status", part, &patience]).unwrap();
}

fn items(part: &str, more: &[&str]) -> impl Iterator<Item = Value> {
    let selector = format!("--selector=app.kubernetes.io/name={part}");
    let get = ["get", "pods", "--namespace=weft-system", "--output=json", &selector];
    let printed = kubectl().run(&[&get[..], more].concat()).unwrap_or_default();
    let list: Value = serde_json::from_str(&printed).unwrap_or_default();
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    pods.into_iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running")
}

fn name(pod: &Value) -> Option<String> {
    pod["metadata"]["name"].as_str().map(str::to_owned)
}

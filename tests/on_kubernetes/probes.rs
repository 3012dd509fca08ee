//! The kubelet's probes of every kind find what is there, and miss what is not.

use harness::wait;
use serde_json::{Value, json};

use crate::{
    workload::{GRPC, HTTP, LINES, Pod},
    world::{PATIENCE, World},
};

#[test]
fn a_pod_is_ready_by_a_probe_of_each_kind() {
    let world = World::new();
    let pods = kinds(HTTP, LINES, GRPC).map(|(kind, probe)| Pod::new(kind).probe(probe));
    world.start(&pods);
}

#[test]
fn a_pod_is_not_ready_by_a_probe_that_fails() {
    let world = World::new();
    let closed = 1;
    let pods = kinds(closed, closed, closed).map(|(kind, probe)| Pod::new(kind).probe(probe));
    pods.iter().for_each(|pod| world.apply(&pod.object()));
    for pod in &pods {
        wait::until(PATIENCE, format!("{} unready by its probe", pod.name()), || {
            let involved = format!("involvedObject.name={}", pod.name());
            let events = world.get(&["events", "--field-selector", &involved]);
            let events = events["items"].as_array().unwrap();
            events.iter().any(|event| event["reason"] == "Unhealthy")
        });
        let conditions = world.get(&["pod", pod.name()])["status"]["conditions"].clone();
        let ready = conditions
            .as_array()
            .unwrap()
            .iter()
            .find(|condition| condition["type"] == "Ready");
        assert_eq!(ready.unwrap()["status"], "False", "{}", pod.name());
    }
}

pub(crate) fn kinds(http: u16, lines: u16, grpc: u16) -> [(&'static str, Value); 4] {
    [
        ("http", json!({"httpGet": {"path": "/ready", "port": http}})),
        ("tcp", json!({"tcpSocket": {"port": lines}})),
        ("grpc", json!({"grpc": {"port": grpc}})),
        (
            "exec",
            json!({"exec": {"command": ["/sample", "probe", format!("http://127.0.0.1:{http}/ready")]}}),
        ),
    ]
}

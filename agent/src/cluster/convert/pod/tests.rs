//! What is read of pods that are as they should be.

use serde_json::{Value, json};

use super::{super::sample::mk_pod, *};
use crate::model::{Transport, sample::mk_ip};

/// Reads a pod `default/web` with these parts.
fn read(metadata: Value, spec: Value, status: Value) -> Pod {
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status});
    let mut findings = Findings::default();
    let pod = pod(
        serde_json::from_value(manifest).unwrap(),
        &ObjectName::new("default", "web"),
        &mut findings,
    );
    assert_eq!(findings.into_vec(), []);
    pod.unwrap()
}

fn with_containers(spec: Value) -> Pod {
    let mut whole = json!({"nodeName": "node-1", "containers": []});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    read(json!({}), whole, json!({}))
}

fn in_phase(phase: &str) -> Pod {
    read(
        json!({}),
        json!({"nodeName": "node-1", "containers": []}),
        json!({"phase": phase}),
    )
}

fn obstacle_of(spec: Value) -> Option<NotEnrolled> {
    with_containers(spec).obstacle
}

#[test]
fn a_plain_pod_is_read() {
    let pod = read(
        json!({"name": "web", "labels": {"app": "web"}}),
        json!({"nodeName": "node-1", "containers": [{"name": "a"}]}),
        json!({"podIP": "10.0.0.1"}),
    );
    assert_eq!(pod, mk_pod("web", "10.0.0.1"));
}

#[test]
fn every_field_that_matters_is_read() {
    let pod = read(
        json!({
            "name": "web", "uid": "1234", "labels": {"weft.dev/mesh": "enabled"},
            "annotations": {"weft.dev/netns": "/run/netns/web"}, "deletionTimestamp": "2026-01-01T00:00:00Z",
        }),
        json!({
            "nodeName": "node-1", "serviceAccountName": "payer", "hostname": "web-0", "subdomain": "web",
            "containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]}],
        }),
        json!({
            "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "conditions": [{"type": "Ready", "status": "False"}],
        }),
    );
    let port = |name: Option<&str>, port, transport| ContainerPort {
        name: name.map(Into::into),
        port,
        transport,
    };
    let expected = Pod {
        uid: PodUid::new("1234"),
        service_account: "payer".into(),
        labels: [("weft.dev/mesh".into(), "enabled".into())].into(),
        enrols: Some(super::super::super::objects::MeshLabel::Enabled),
        ips: vec![mk_ip("10.0.0.1"), mk_ip("fd00::1")],
        ports: vec![port(Some("http"), 8080, Transport::Tcp), port(None, 53, Transport::Udp)],
        netns: Some("/run/netns/web".into()),
        hostname: Some("web-0".into()),
        subdomain: Some("web".into()),
        ready: false,
        terminating: true,
        ..mk_pod("web", "10.0.0.1")
    };
    assert_eq!(pod, expected);
}

#[test]
fn ports_that_the_kubelet_dials_are_numbers() {
    let pod = with_containers(json!({
        "containers": [
            {
                "name": "a", "ports": [{"name": "admin", "containerPort": 9000}],
                "livenessProbe": {"httpGet": {"port": "admin"}},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "startupProbe": {"grpc": {"port": 7000}},
                "lifecycle": {"preStop": {"httpGet": {"port": 6000}}, "postStart": {"exec": {"command": ["a"]}}},
            },
            {"name": "b", "livenessProbe": {"tcpSocket": {"port": 8080}}, "readinessProbe": {"exec": {"command": ["a"]}}},
        ],
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 5000}}},
        ],
    }));
    assert_eq!(pod.probe_ports, [5000, 6000, 7000, 8080, 9000]);
}

#[test]
fn ended_pods_are_out_and_running_ones_are_not() {
    for (phase, obstacle) in [
        ("Pending", None),
        ("Running", None),
        ("Succeeded", Some(NotEnrolled::Ended)),
        ("Failed", Some(NotEnrolled::Ended)),
    ] {
        assert_eq!(in_phase(phase).obstacle, obstacle, "{phase}");
    }
}

#[test]
fn pods_of_the_nodes_network_are_out() {
    assert_eq!(
        obstacle_of(json!({"hostNetwork": true})),
        Some(NotEnrolled::HostNetwork)
    );
    assert_eq!(obstacle_of(json!({"hostNetwork": false})), None);
}

#[test]
fn sandboxes_with_their_own_kernel_are_out_and_other_runtimes_are_not() {
    for class in ["gvisor", "runsc-debug", "kata-qemu", "Kata"] {
        assert_eq!(
            obstacle_of(json!({"runtimeClassName": class})),
            Some(NotEnrolled::Sandboxed),
            "{class}"
        );
    }
    for class in ["runc", "nvidia", "crun"] {
        assert_eq!(obstacle_of(json!({"runtimeClassName": class})), None, "{class}");
    }
}

#[test]
fn pods_with_another_meshs_sidecar_are_out_and_with_others_are_not() {
    for name in SIDECARS {
        let sidecar = json!({"containers": [{"name": "app"}, {"name": name}]});
        assert_eq!(obstacle_of(sidecar), Some(NotEnrolled::OtherSidecar), "{name}");
    }
    let native = json!({"initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]});
    assert_eq!(obstacle_of(native), Some(NotEnrolled::OtherSidecar));
    assert_eq!(obstacle_of(json!({"initContainers": [{"name": "istio-proxy"}]})), None);
    assert_eq!(obstacle_of(json!({"containers": [{"name": "envoy"}]})), None);
}

//! How pods come into the mesh and leave it: by a label under traffic, by their birth, by their end.

use std::time::{Duration, SystemTime};

use harness::wait;
use serde_json::json;

use crate::{
    mesh::pod_row,
    workload::Pod,
    world::{PATIENCE, World},
};

#[test]
fn running_pods_join_within_a_second_of_the_label_and_leave_with_it() {
    let shop = World::strict();
    let outside = shop.beside();
    shop.start(&[Pod::new("server").on("node-2")]);
    outside.apply(&Pod::caller("caller", &shop.http("server")).on("node-1").object());
    outside.until_calls("caller", false);
    let before = outside.get(&["pod", "caller"]);

    wait::in_time(LIMIT, || joins_and_leaves(&outside));

    let after = outside.get(&["pod", "caller"]);
    let restarts = "/status/containerStatuses/0/restartCount";
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after.pointer(restarts), Some(&json!(0)));
}

/// Labels the namespace of a calling pod and takes the label away again: how long after the label the pod was served.
fn joins_and_leaves(outside: &World) -> Duration {
    let before = outside.calls("caller").len();
    outside.label("weft.dev/mesh=enabled");
    let labelled = SystemTime::now();
    outside.until_calls("caller", true);
    let calls = outside.calls("caller").split_off(before);
    let joined = calls.iter().position(|call| call.outcome.is_ok()).unwrap();
    let late: Vec<_> = calls[joined..].iter().filter(|call| call.outcome.is_err()).collect();
    assert!(late.is_empty(), "{late:?}");

    outside.label("weft.dev/mesh-");
    outside.until_calls("caller", false);
    // It may have joined before `kubectl` was back.
    calls[joined].at.duration_since(labelled).unwrap_or_default()
}

#[test]
fn the_first_packet_of_an_init_container_is_in_the_mesh() {
    let world = World::strict();
    world.start(&[Pod::new("server").on("node-2")]);
    let target = world.http("server");
    let born = |name: &str| Pod::new(name).on("node-1").after_calling(&target);
    world.start(&[born("member")]);

    world.apply(&born("stranger").label("weft.dev/mesh", "disabled").object());
    wait::until(PATIENCE, "the init container of who opts out refused", || {
        world.get(&["pod", "stranger"])["status"]["phase"] == "Failed"
    });
}

#[test]
fn a_job_ends_and_its_pod_is_let_go() {
    let world = World::strict();
    world.start(&[Pod::new("server").on("node-2")]);
    let worker = Pod::running("worker", &["call", &world.http("server"), "--count=20"]);
    let template = worker.on("node-1").spec(&json!({"restartPolicy": "Never"})).template();
    world.apply(&json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"backoffLimit": 0, "template": template},
    }));
    wait::until(PATIENCE, "the job done", || {
        world.get(&["job", "job"])["status"]["succeeded"] == 1
    });
    let pods = world.get(&["pods", "--selector=app=worker"]);
    let uid = pods["items"][0]["metadata"]["uid"].as_str().unwrap();
    wait::until(PATIENCE, "its pod let go", || {
        pod_row("node-1", uid).is_none_or(|row| row["captured"] == false)
    });
    let server = world.get(&["pod", "server"]);
    let server = pod_row("node-2", server["metadata"]["uid"].as_str().unwrap()).unwrap();
    assert_eq!(server["captured"], true);
}

/// How soon after its label a running pod is in the mesh.
const LIMIT: Duration = Duration::from_secs(1);

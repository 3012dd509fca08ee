//! A node whose power is cut comes back with its pods. Only on the simulated cluster: no other is ours to cut.

use harness::{skip, wait};

use crate::{
    mesh::{pod_row, until_ready},
    workload::Pod,
    world::{PATIENCE, World, node_of, simulated},
};

#[test]
fn pods_come_back_when_their_node_is_started_again() {
    let Some(cluster) = simulated() else {
        skip!("the cluster is not simulated");
    };
    let world = World::alone();
    world.start(&[Pod::new("server").on("node-2")]);
    let restarts = || {
        let statuses = world.get(&["pod", "server"])["status"]["containerStatuses"].clone();
        (statuses[0]["restartCount"].as_u64(), statuses[0]["ready"].as_bool())
    };
    assert_eq!(restarts(), (Some(0), Some(true)));

    let node = node_of(&cluster, "node-2");
    node.machine.kill().unwrap();
    assert_eq!(node.machine.first_process(), None);
    cluster.restart(&node.machine).unwrap();
    wait::until(PATIENCE, "the pod ready again", || restarts() == (Some(1), Some(true)));
    let uid = world.get(&["pod", "server"])["metadata"]["uid"].clone();
    wait::until(PATIENCE, "the pod in the mesh again", || {
        pod_row("node-2", uid.as_str().unwrap()).is_some_and(|row| row["captured"] == true)
    });
    until_ready("daemonset/weft-agent");
}

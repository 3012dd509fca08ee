//! The cluster without a mesh does what a cluster does: what fails with the mesh is then the mesh's.

use std::{collections::BTreeSet, net::SocketAddr};

use harness::{Family, wait};

use crate::{
    workload::{GRPC, HTTP, LINES, Pod, SERVER_FIRST, service},
    world::{PATIENCE, World, kubectl},
};

#[test]
fn nodes_are_ready_and_have_ranges_of_both_families() {
    let nodes = kubectl().get(&["nodes"]).unwrap();
    let nodes = nodes["items"].as_array().unwrap();
    assert!(nodes.len() >= 2);
    for node in nodes {
        let conditions = node["status"]["conditions"].as_array().unwrap();
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .unwrap();
        assert_eq!(ready["status"], "True", "{}", node["metadata"]["name"]);
        assert_eq!(node["spec"]["podCIDRs"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn pods_reach_each_other_by_their_own_addresses_on_one_node_and_across() {
    let world = World::new();
    let pods = [
        Pod::new("client").on("node-1"),
        Pod::new("near").on("node-1"),
        Pod::new("far").on("node-2"),
    ];
    world.start(&pods);
    for server in ["near", "far"] {
        for family in Family::BOTH {
            let to = SocketAddr::new(world.address(server, family), HTTP);
            let answer = world.call("client", &format!("http://{to}/")).unwrap();
            assert_eq!(answer.pod, server);
            assert_eq!(answer.client.ip(), world.address("client", family));
        }
    }
}

#[test]
fn a_service_is_found_by_name_and_balanced_over_both_nodes_in_every_protocol() {
    every_protocol_is_served(&World::new());
}

/// By a service's name, by pods of both nodes, in both families.
pub(crate) fn every_protocol_is_served(world: &World) {
    world.apply(&service("server"));
    let pods = [
        Pod::new("client").on("node-1"),
        Pod::new("near").on("node-1").app("server"),
        Pod::new("far").on("node-2").app("server"),
    ];
    world.start(&pods);
    let name = world.name_of("server");
    let targets = [
        format!("http://{name}:{HTTP}/"),
        format!("h2://{name}:{HTTP}/"),
        format!("grpc://{name}:{GRPC}"),
        format!("tcp://{name}:{LINES}"),
        format!("server-first://{name}:{SERVER_FIRST}"),
    ];
    for target in targets {
        // A name that was asked for too early is known to be unknown for a few seconds.
        wait::until(PATIENCE, &target, || world.call("client", &target).is_ok());
    }
    for family in Family::BOTH {
        let target = format!("http://{}/", SocketAddr::new(world.cluster_ip("server", family), HTTP));
        let mut seen = BTreeSet::new();
        wait::until(PATIENCE, format!("both pods by {target}"), || {
            seen.insert(world.call("client", &target).unwrap().pod);
            seen.len() == 2
        });
    }
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let world = World::new();
    world.start(&[Pod::new("client"), Pod::new("server")]);
    let to = SocketAddr::new(world.address("server", Family::V4), 1);
    let refused = world.call("client", &format!("http://{to}/"));
    assert!(refused.is_err(), "{refused:?}");
}

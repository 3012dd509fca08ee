//! Weft is taken away as its documentation says, leaves the nodes clean, and is installed again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cluster::Node;
use harness::{skip, wait};

use crate::{
    mesh::{pod_row, system, until_ready},
    workload::Pod,
    world::{PATIENCE, World, kubectl, simulated},
};

#[test]
fn nodes_are_clean_when_weft_is_gone_and_it_comes_back() {
    let Some(cluster) = simulated() else {
        skip!("Weft is not ours to take away");
    };
    let world = World::alone();
    world.start(&[Pod::new("client").on("node-1"), Pod::new("server").on("node-2")]);
    let nodes = cluster.nodes().unwrap();
    assert!(nodes.iter().all(|node| !leftovers(node).is_empty()), "it is installed");

    system(&["delete", "daemonset", "weft-agent"]).unwrap();
    tell("apply", "deploy/uninstall", &[]);
    until_ready("daemonset/weft-cleanup");
    for node in &nodes {
        let left = leftovers(node);
        assert!(left.is_empty(), "{}: {left:?}", node.name);
    }
    assert_eq!(world.call("client", &world.http("server")).unwrap().pod, "server");
    tell("delete", "deploy/uninstall", &[]);
    tell("delete", "deploy", &["--ignore-not-found"]);

    tell("apply", "deploy", &["--server-side"]);
    for part in [
        "deployment/weft-ca",
        "daemonset/weft-agent",
        "deployment/weft-controller",
    ] {
        until_ready(part);
    }
    let uid = world.get(&["pod", "server"])["metadata"]["uid"].clone();
    wait::until(PATIENCE, "the pod in the mesh again", || {
        pod_row("node-2", uid.as_str().unwrap()).is_some_and(|row| row["captured"] == true)
    });
}

/// Whether what lies at a path is Weft's.
type IsOurs = fn(&Path) -> bool;

fn tell(verb: &str, folder: &str, flags: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder);
    let told = kubectl().run(&[&[verb, "--kustomize", folder.to_str().unwrap()], flags].concat());
    told.unwrap_or_else(|error| panic!("{error:#}"));
}

/// What of Weft is on a node. Its folders themselves may be mounted into the pod that cleans.
fn leftovers(node: &Node) -> Vec<PathBuf> {
    let places: [(&str, IsOurs); 5] = [
        ("/run/weft", |_| true),
        ("/var/lib/weft", |_| true),
        ("/opt/cni/bin", |path| path.ends_with("weft-cni")),
        ("/sys/fs/bpf", |path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("weft"))
        }),
        ("/etc/cni/net.d", |path| {
            fs::read_to_string(path).is_ok_and(|list| list.contains("weft-cni"))
        }),
    ];
    let found = places.into_iter().flat_map(|(folder, such)| {
        let entries = fs::read_dir(node.machine.inside(folder).unwrap()).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(move |path| such(path))
    });
    found.collect()
}

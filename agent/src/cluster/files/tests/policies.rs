//! A security policy that is broken denies, or stays as it was.

use super::*;
use crate::model::{Caller, Verdict};

const POD: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {nodeName: node-1, containers: []}\n\
                   status: {podIP: 10.0.0.1}\n";

/// A policy that lets in 10.0.0.0/8.
fn policy(cidr: &str) -> String {
    format!(
        "apiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec:\n  rules:\n  - from:\n    \
         - ipBlocks: [{{cidr: {cidr}}}]\n"
    )
}

/// Whether somebody at an address gets in.
fn admits(mesh: &Mesh, address: &str) -> bool {
    let pod = mesh.pods.values().next().expect("there is one");
    let caller = Caller::unproven(address.parse().unwrap());
    mesh.authorise(pod, 80, &caller).verdict == Verdict::Allowed
}

#[tokio::test]
async fn a_policy_without_a_last_good_state_denies_until_it_is_mended() {
    let mut followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &policy("wrong"))]);
    let update = followed
        .tells(&[
            "policy.yaml:7: AuthorizationPolicy default/p: spec.rules[0].from[0].ipBlocks[0].cidr: `wrong` is not an address \
             range such as 10.0.0.0/8; until it is understood, all pods that it could be about are denied to everybody",
        ])
        .await;
    assert!(!admits(&update.mesh, "10.0.0.9"));
    followed.write("policy.yaml", &policy("10.0.0.0/8"));
    let update = followed.tells(&[]).await;
    assert!(admits(&update.mesh, "10.0.0.9"));
    assert!(!admits(&update.mesh, "192.0.2.9"));
}

#[tokio::test]
async fn a_policy_that_breaks_keeps_its_last_good_state_and_one_that_is_removed_is_gone() {
    let mut followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &policy("10.0.0.0/8"))]);
    followed.write("policy.yaml", &policy("wrong"));
    let update = followed
        .tells(&[
            "policy.yaml:7: AuthorizationPolicy default/p: spec.rules[0].from[0].ipBlocks[0].cidr: `wrong` is not an address \
             range such as 10.0.0.0/8; its last good state is kept",
        ])
        .await;
    assert!(admits(&update.mesh, "10.0.0.9"));
    assert!(!admits(&update.mesh, "192.0.2.9"));
    fs::remove_file(followed.path("policy.yaml")).unwrap();
    let update = followed.tells(&[]).await;
    assert!(admits(&update.mesh, "192.0.2.9"));
}

#[tokio::test]
async fn a_policy_that_is_no_yaml_denies_or_keeps_its_last_good_state() {
    let broken = policy("10.0.0.0/8").replace("}]", "}");
    let mut followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &broken)]);
    assert!(!admits(&followed.updates.borrow().mesh, "10.0.0.9"));
    followed.write("policy.yaml", &policy("10.0.0.0/8"));
    let update = followed.tells(&[]).await;
    assert!(admits(&update.mesh, "10.0.0.9"));
    followed.write("policy.yaml", &broken);
    let met = followed.updates.wait_for(|update| !update.problems.is_empty());
    let update = timeout(PATIENCE, met).await.expect("told in time").unwrap().clone();
    assert!(admits(&update.mesh, "10.0.0.9"));
    assert!(!admits(&update.mesh, "192.0.2.9"));
}

#[tokio::test]
async fn a_policy_without_a_name_denies() {
    let nameless = policy("10.0.0.0/8").replace("{name: p}", "{namespace: default}");
    let followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &nameless)]);
    assert!(!admits(&followed.updates.borrow().mesh, "10.0.0.9"));
    let elsewhere = policy("10.0.0.0/8").replace("{name: p}", "{namespace: other}");
    let followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &elsewhere)]);
    assert!(admits(&followed.updates.borrow().mesh, "192.0.2.9"));
}

#[tokio::test]
async fn a_policy_with_an_unknown_field_denies_though_an_earlier_state_was_good() {
    let mut followed = Followed::new(&[("pod.yaml", POD), ("policy.yaml", &policy("10.0.0.0/8"))]);
    followed.write("policy.yaml", &format!("{}  until: tomorrow\n", policy("10.0.0.0/8")));
    let update = followed
        .tells(&[
            "policy.yaml:8: AuthorizationPolicy default/p: spec.until: unknown field: the policy denies its targets",
        ])
        .await;
    assert!(!admits(&update.mesh, "10.0.0.9"));
}

#[test]
fn each_node_has_its_own_mesh() {
    let other = POD.replace("web", "db").replace("node-1", "node-2");
    let folder = mk_folder(&[("a.yaml", POD), ("b.yaml", &other)]);
    let meshes = meshes(folder.path()).unwrap();
    let nodes: Vec<(&str, usize)> = meshes.iter().map(|mesh| (&*mesh.node, mesh.pods.len())).collect();
    assert_eq!(nodes, [("node-1", 1), ("node-2", 1)]);
}

//! Following a server that fails in every way in which servers fail.

pub(super) mod fake;

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::timeout;

use self::fake::{Fake, Fault};
use super::{
    super::{
        Contact,
        objects::{Kind, Objects, Scope},
    },
    Pace, Subject, World,
};
use crate::model::ObjectName;

/// A pace at which nobody has to wait.
pub(super) const PACE: Pace = Pace {
    answer: Duration::from_secs(10),
    silence: Duration::from_secs(10),
    watch: Duration::from_secs(60),
    shortest: Duration::from_millis(5),
    longest: Duration::from_millis(50),
    patience: Duration::from_millis(50),
};

const NODES: &str = "nodes";

const POLICIES: &str = "authorizationpolicies";

fn mk_node(name: &str, zone: &str) -> Json {
    json!({
        "metadata": {
            "name": name,
            "labels": {"topology.kubernetes.io/zone": zone},
            "managedFields": [{"manager": "kubelet", "unknown": 1}],
        },
        "spec": {"newInSomeLaterVersion": true},
    })
}

fn mk_policy(name: &str, spec: &Json) -> Json {
    json!({
        "apiVersion": "mesh.weft.dev/v1alpha1", "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
    })
}

fn follow(fake: &Fake, kinds: &[Kind], pace: Pace) -> World {
    let subjects = kinds.iter().copied().map(Subject::all).collect();
    World::follow(&fake.client(), subjects, Scope::Cluster, pace)
}

/// Waits until the world is so.
async fn until(world: &mut World, wanted: impl Fn(&World) -> bool) {
    let come = async {
        while !wanted(world) {
            world.changed(Duration::from_millis(1)).await;
        }
    };
    let come = timeout(Duration::from_secs(20), come).await;
    assert!(come.is_ok(), "{:?}, {:?}", world.contact(), world.objects());
}

/// Waits until these nodes, with their zones, are known.
async fn until_nodes(world: &mut World, nodes: &[(&str, &str)]) {
    until(world, |world| world.is_complete() && zones(&world.objects()) == nodes).await;
}

fn zones(objects: &Objects) -> Vec<(&str, &str)> {
    let nodes = objects.nodes.iter();
    nodes
        .map(|(name, node)| (&**name, node.zone.as_deref().unwrap_or_default()))
        .collect()
}

fn problems(world: &World) -> Vec<String> {
    world.problems().map(ToString::to_string).collect()
}

#[tokio::test]
async fn objects_are_listed_as_a_stream_and_followed() {
    let fake = Fake::start(&[NODES]).await;
    fake.put(NODES, mk_node("a", "west"));
    let mut world = follow(&fake, &[Kind::Node], PACE);
    until_nodes(&mut world, &[("a", "west")]).await;
    assert_eq!(world.contact(), Contact::Fresh);
    fake.put(NODES, mk_node("b", "west"));
    fake.put(NODES, mk_node("a", "east"));
    until_nodes(&mut world, &[("a", "east"), ("b", "west")]).await;
    fake.delete(NODES, "a");
    until_nodes(&mut world, &[("b", "west")]).await;
    let requests = fake.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(problems(&world), [""; 0], "what a newer server has is no problem");
}

#[tokio::test]
async fn a_server_without_streaming_lists_is_asked_by_pages() {
    let fake = Fake::start(&[NODES]).await;
    fake.refuse_streams();
    for name in ["a", "b", "c", "d", "e"] {
        fake.put(NODES, mk_node(name, "west"));
    }
    let mut world = follow(&fake, &[Kind::Node], PACE);
    let all = ["a", "b", "c", "d", "e"].map(|name| (name, "west"));
    until_nodes(&mut world, &all).await;
    fake.delete(NODES, "c");
    until(&mut world, |world| world.objects().nodes.len() == 4).await;
    let requests = fake.requests();
    assert!(requests[0].contains("sendInitialEvents"), "{requests:?}");
    assert_eq!(requests.len(), 5, "three pages and a watch: {requests:?}");
}

#[tokio::test]
async fn half_a_list_of_pages_leaves_nothing_behind() {
    let fake = Fake::start(&[NODES]).await;
    fake.refuse_streams();
    for name in ["a", "b", "c"] {
        fake.put(NODES, mk_node(name, "west"));
    }
    // The stream is refused, the first page comes, the second one fails twice in two ways.
    let ok = Fault::Nothing;
    fake.fail(NODES, [ok, ok, Fault::Status(500), ok, Fault::Status(410)]);
    let mut world = follow(&fake, &[Kind::Node], PACE);
    until(&mut world, |world| world.contact() != Contact::Fresh).await;
    assert!(!world.is_complete() && world.objects().nodes.is_empty());
    fake.change_unseen(NODES, |nodes| drop(nodes.remove("a")));
    until_nodes(&mut world, &[("b", "west"), ("c", "west")]).await;
    assert_eq!(world.contact(), Contact::Fresh);
}

#[tokio::test]
async fn half_a_streamed_list_leaves_nothing_behind() {
    let fake = Fake::start(&[NODES]).await;
    for name in ["a", "b", "c"] {
        fake.put(NODES, mk_node(name, "west"));
    }
    fake.fail(NODES, [Fault::Half(2)]);
    let mut world = follow(&fake, &[Kind::Node], PACE);
    until(&mut world, |world| world.contact() != Contact::Fresh).await;
    assert!(!world.is_complete());
    fake.change_unseen(NODES, |nodes| drop(nodes.remove("a")));
    until_nodes(&mut world, &[("b", "west"), ("c", "west")]).await;
}

#[tokio::test]
async fn a_version_that_is_forgotten_lists_again_in_one_step() {
    for fault in [Fault::GoneEvent, Fault::Status(410)] {
        let fake = Fake::start(&[NODES]).await;
        fake.put(NODES, mk_node("a", "west"));
        let mut world = follow(&fake, &[Kind::Node], PACE);
        until_nodes(&mut world, &[("a", "west")]).await;
        fake.fail(NODES, [fault]);
        let later = mk_node("b", "east");
        fake.change_unseen(NODES, |nodes| {
            nodes.clear();
            nodes.insert("b".to_owned(), later);
        });
        fake.break_off(NODES);
        let mut seen = Vec::new();
        while seen.last() != Some(&vec![("b".to_owned(), "east".to_owned())]) {
            world.changed(Duration::ZERO).await;
            let objects = world.objects();
            let zones = zones(&objects).into_iter();
            seen.push(zones.map(|(name, zone)| (name.to_owned(), zone.to_owned())).collect());
        }
        assert!(seen.iter().all(|nodes| nodes.len() == 1), "{seen:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_amid_a_line_goes_on_after_the_last_whole_one() {
    let fake = Fake::start(&[NODES]).await;
    fake.put(NODES, mk_node("a", "west"));
    let mut world = follow(&fake, &[Kind::Node], PACE);
    until_nodes(&mut world, &[("a", "west")]).await;
    fake.put(NODES, mk_node("b", "west"));
    until_nodes(&mut world, &[("a", "west"), ("b", "west")]).await;
    fake.requests();
    fake.send(
        NODES,
        r#"{"type": "DELETED", "object": {"metadata": {"name": "a", "resourceVer"#,
    );
    fake.break_off(NODES);
    fake.put(NODES, mk_node("c", "west"));
    until(&mut world, |world| {
        assert_eq!(world.contact(), Contact::Fresh, "it is taken up at once");
        world.objects().nodes.len() == 3
    })
    .await;
    let requests = fake.requests();
    assert!(
        requests.iter().all(|request| request.contains("resourceVersion=102")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_empty_until_it_comes() {
    let fake = Fake::start(&[NODES]).await;
    let mut world = follow(&fake, &[Kind::Node, Kind::AuthorizationPolicy], PACE);
    until(&mut world, World::is_complete).await;
    assert_eq!(world.contact(), Contact::Fresh);
    fake.install(POLICIES);
    fake.put(POLICIES, mk_policy("p", &json!({})));
    until(&mut world, |world| world.objects().authorization.len() == 1).await;
}

#[tokio::test]
async fn refusals_and_failures_never_count_as_empty() {
    for code in [401, 403, 404, 429, 500, 503] {
        let fake = Fake::start(&[NODES]).await;
        fake.put(NODES, mk_node("a", "west"));
        fake.fail(NODES, [Fault::Status(code); 3]);
        let mut world = follow(&fake, &[Kind::Node], PACE);
        until(&mut world, |world| world.contact() != Contact::Fresh).await;
        assert!(!world.is_complete(), "{code}");
        until_nodes(&mut world, &[("a", "west")]).await;
        fake.fail(NODES, [Fault::Status(code); 3]);
        fake.break_off(NODES);
        until(&mut world, |world| world.contact() != Contact::Fresh).await;
        assert_eq!(zones(&world.objects()), [("a", "west")], "{code}");
        until(&mut world, |world| world.contact() == Contact::Fresh).await;
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed() {
    let fake = Fake::start(&[NODES]).await;
    fake.put(NODES, mk_node("a", "west"));
    let pace = Pace {
        silence: Duration::from_millis(100),
        ..PACE
    };
    let mut world = follow(&fake, &[Kind::Node], pace);
    until_nodes(&mut world, &[("a", "west")]).await;
    fake.fail(NODES, [Fault::Status(500)]);
    until(&mut world, |world| world.contact() != Contact::Fresh).await;
    until(&mut world, |world| world.contact() == Contact::Fresh).await;
    assert_eq!(zones(&world.objects()), [("a", "west")]);
}

#[tokio::test]
async fn a_server_that_passes_streaming_over_is_asked_by_pages() {
    let fake = Fake::start(&[NODES]).await;
    fake.put(NODES, mk_node("a", "west"));
    fake.fail(NODES, [Fault::Silence]);
    let pace = Pace {
        silence: Duration::from_millis(100),
        ..PACE
    };
    let mut world = follow(&fake, &[Kind::Node], pace);
    until_nodes(&mut world, &[("a", "west")]).await;
    assert!(fake.requests()[1].contains("limit="));
}

#[tokio::test]
async fn an_object_that_cannot_be_decoded_leaves_the_others_alone() {
    let fake = Fake::start(&[NODES]).await;
    fake.put(NODES, mk_node("a", "west"));
    fake.put(NODES, json!({"metadata": {"name": "b"}, "spec": {"podCIDRs": 7}}));
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let mut world = follow(&fake, &[Kind::Node], PACE);
    until_nodes(&mut world, &[("a", "west")]).await;
    let told = problems(&world);
    assert!(told[0].starts_with("Node b: spec.podCIDRs: invalid type"), "{told:?}");
    // Nor does one that no reader takes, nor one without a name.
    fake.send(
        NODES,
        &format!(r#"{{"type": "ADDED", "object": {{"metadata": {{"name": "c", "resourceVersion": "200"}}, "spec": {deep}}}}}"#),
    );
    fake.send(NODES, "\n");
    fake.send_event(NODES, "ADDED", &json!({"metadata": {}}));
    fake.put(NODES, mk_node("d", "west"));
    until_nodes(&mut world, &[("a", "west"), ("d", "west")]).await;
    assert_eq!(problems(&world).len(), 2, "{:?}", problems(&world));
    fake.put(NODES, mk_node("b", "east"));
    until_nodes(&mut world, &[("a", "west"), ("b", "east"), ("d", "west")]).await;
    assert_eq!(problems(&world).len(), 1, "{:?}", problems(&world));
}

#[tokio::test]
async fn a_policy_denies_until_it_is_understood_and_keeps_its_last_good_state() {
    let fake = Fake::start(&[POLICIES]).await;
    let (good, bad) = (
        mk_policy("p", &json!({"action": "DENY"})),
        mk_policy("p", &json!({"rules": 7})),
    );
    fake.put(POLICIES, bad.clone());
    let mut world = follow(&fake, &[Kind::AuthorizationPolicy], PACE);
    until(&mut world, World::is_complete).await;
    let undecodable: Vec<String> = world.objects().undecodable.iter().map(ToString::to_string).collect();
    assert_eq!(undecodable, ["AuthorizationPolicy shop/p"]);
    assert!(
        problems(&world)[0].contains("are denied to everybody"),
        "{:?}",
        problems(&world)
    );
    fake.put(POLICIES, good);
    until(&mut world, |world| world.objects().undecodable.is_empty()).await;
    let name = ObjectName::new("shop", "p");
    let understood = world.objects().authorization[&name].clone();
    fake.put(POLICIES, bad);
    until(&mut world, |world| !problems(world).is_empty()).await;
    assert!(
        problems(&world)[0].ends_with("its last good state is kept"),
        "{:?}",
        problems(&world)
    );
    assert_eq!(world.objects().authorization[&name], understood);
    fake.delete(POLICIES, "p");
    until(&mut world, |world| world.objects().authorization.is_empty()).await;
    assert_eq!(problems(&world), [""; 0]);
}

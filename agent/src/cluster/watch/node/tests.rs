//! The mesh of a node, told by a server that refuses for a while.

use std::time::SystemTime;

use serde_json::json;

use super::{
    super::tests::{
        PACE,
        fake::{Fake, Fault},
    },
    *,
};
use crate::model::{ObjectName, sample::NODE};

const KINDS: [&str; 6] = [
    "namespaces",
    "nodes",
    "pods",
    "services",
    "endpointslices",
    "networkpolicies",
];

async fn mk_fake() -> Fake {
    let fake = Fake::start(&KINDS).await;
    let service = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80}]},
    });
    fake.put("services", service);
    fake
}

fn services(mesh: &Mesh) -> Vec<String> {
    mesh.services.keys().map(ObjectName::to_string).collect()
}

#[tokio::test]
async fn no_mesh_is_made_before_every_kind_is_told() {
    let fake = mk_fake().await;
    fake.fail("endpointslices", [Fault::Status(403); 4]);
    let updates = follow_at(fake.client(), NODE, None, PACE).await.unwrap();
    let update = updates.borrow().clone();
    assert_eq!(
        (services(&update.mesh), update.contact),
        (vec!["shop/web".to_owned()], Contact::Fresh)
    );
    let requests = fake.requests();
    let asked = |kind: &str| requests.iter().filter(|request| request.contains(kind)).count();
    assert_eq!(asked("/endpointslices?"), 5, "{requests:?}");
    assert_eq!(
        asked("/pods?"),
        asked(&format!("spec.nodeName%3D{NODE}")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn an_earlier_mesh_is_used_until_every_kind_is_told() {
    let fake = mk_fake().await;
    let refusals = [Fault::Status(403); 1000];
    fake.fail("endpointslices", refusals);
    let confirmed = SystemTime::now() - Duration::from_secs(60);
    let last_known = LastKnown {
        contents: Contents {
            node: NODE.into(),
            ..Contents::default()
        },
        confirmed,
    };
    let mut updates = follow_at(fake.client(), NODE, Some(last_known), PACE).await.unwrap();
    let update = updates.borrow_and_update().clone();
    assert_eq!(update.contact, Contact::Lost { since: confirmed });
    assert!(update.mesh.services.is_empty());
    fake.fail_no_more("endpointslices");
    updates.changed().await.unwrap();
    let update = updates.borrow_and_update().clone();
    assert_eq!(
        (services(&update.mesh), update.contact),
        (vec!["shop/web".to_owned()], Contact::Fresh)
    );
}

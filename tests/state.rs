//! The last known mesh, by which an agent starts while its manifests are away.

use std::{fs, net::SocketAddr, path::PathBuf};

use harness::{Addresses, Agent, App, Family, Lab, Launch, Object, Pod, Talk, wait};
use serde_json::{Value, json};

use crate::mesh::Single;

/// The version of the layout of what is kept.
const LAYOUT: u64 = 3;
const SERVICE: Addresses = Addresses::service(10);

/// The manifests of a mesh, moved elsewhere.
struct Away {
    folder: PathBuf,
    elsewhere: PathBuf,
}

impl Away {
    fn take_from(lab: &Lab) -> Self {
        let folder = lab.manifests().folder().to_owned();
        let elsewhere = lab.folder().join("elsewhere");
        fs::rename(&folder, &elsewhere).unwrap();
        Self { folder, elsewhere }
    }

    fn bring_back(self) {
        fs::rename(self.elsewhere, self.folder).unwrap();
    }
}

#[test]
fn an_agent_that_starts_while_its_manifests_are_away_serves_by_what_it_last_knew() {
    let mut mesh = Single::start();
    let (client, server) = (mesh.pod("mesh/client"), mesh.pod("mesh/server"));
    let stranger = mesh.plain("stranger");
    let _app = server.serve(8080, App::Echo);
    mesh.apply(&Object::service("mesh/server", SERVICE, "server").port("echo", 80, 8080));
    mesh.apply(&Object::policy(
        "AuthorizationPolicy",
        "mesh/members",
        json!({ "rules": [{ "from": [{ "principals": ["mesh/*"] }] }] }),
    ));
    wait::until(wait::PATIENCE, "the service served", || is_served(&client));
    wait::until(wait::PATIENCE, "the policy in force", || {
        denied(mesh.agent.launch(), &stranger, &server) && !answers(&stranger, server.addresses().at(Family::V4, 8080))
    });
    wait::until(wait::PATIENCE, "all of it kept", || {
        let kept = kept(mesh.agent.launch());
        kept["policies"]["authorization"][0]["name"]["name"] == "members"
            && kept["services"][0]["name"]["name"] == "server"
    });
    assert_eq!(readiness(&mesh.agent), "ready\n");
    assert_eq!(mesh.agent.metric("weft_mesh_age_seconds", &[]), 0.0);

    let launch = mesh.agent.kill();
    let away = Away::take_from(&mesh.lab);
    mesh.agent = launch.start();
    assert!(readiness(&mesh.agent).starts_with("ready, stale: the manifests were last read "));
    assert!(mesh.agent.metric("weft_mesh_age_seconds", &[]) > 0.0);
    wait::until(wait::PATIENCE, "the service served by the last known mesh", || {
        is_served(&client)
    });
    assert!(denied(mesh.agent.launch(), &stranger, &server));
    assert!(!denied(mesh.agent.launch(), &client, &server));
    for family in Family::BOTH {
        let to = server.addresses().at(family, 8080);
        assert!(answers(&client, to));
        assert!(!answers(&stranger, to));
    }

    away.bring_back();
    wait::until(wait::PATIENCE, "the manifests found", || {
        readiness(&mesh.agent) == "ready\n"
    });
    assert_eq!(mesh.agent.metric("weft_mesh_age_seconds", &[]), 0.0);
    assert!(is_served(&client));
    let late = mesh.pod("mesh/late");
    assert!(is_served(&late), "changes are followed again");
}

#[test]
fn what_was_kept_and_is_not_understood_is_discarded_aloud() {
    let mesh = Single::start();
    wait::until(wait::PATIENCE, "something kept", || {
        !kept(mesh.agent.launch()).is_null()
    });
    let launch = mesh.agent.kill();
    let file = launch.state().join("mesh.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace(&format!("\"version\":{LAYOUT}"), "\"version\":4000"),
    )
    .unwrap();
    let agent = launch.clone().start();
    assert!(
        agent.logged().contains("The mesh that was kept is discarded"),
        "{}",
        agent.logged()
    );
    assert_eq!(readiness(&agent), "ready\n");
    wait::until(wait::PATIENCE, "the present mesh kept", || !kept(&launch).is_null());
    agent.kill();

    let away = Away::take_from(&mesh.lab);
    fs::remove_dir_all(launch.state()).unwrap();
    let mut agent = launch.spawn();
    assert!(
        !agent.wait_end(wait::PATIENCE).success(),
        "there is nothing to start with"
    );
    away.bring_back();
}

/// What the agent's file holds; null where there is none that it would read.
fn kept(launch: &Launch) -> Value {
    let text = fs::read_to_string(launch.state().join("mesh.json")).unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    if value["version"] == LAYOUT {
        value["contents"].clone()
    } else {
        Value::Null
    }
}

fn readiness(agent: &Agent) -> String {
    agent.http("/readyz").map(|(_, body)| body).unwrap_or_default()
}

fn is_served(client: &Pod) -> bool {
    Family::BOTH
        .iter()
        .all(|family| answers(client, SERVICE.at(*family, 80)))
}

fn answers(client: &Pod, to: SocketAddr) -> bool {
    let stream = client.connect(to);
    stream.is_ok_and(|stream| Talk::ask(&stream, b"x").is_ok_and(|answer| answer == b"x"))
}

/// Whether the policies refuse a client a port of the server.
fn denied(launch: &Launch, client: &Pod, server: &Pod) -> bool {
    let from = client.addresses().at(Family::V4, 0).ip().to_string();
    let to = format!("pod/mesh/{}", server.object().name());
    launch
        .weft(&[
            "debug", "policy", "test", "--from", &from, "--to", &to, "--port", "8080",
        ])
        .code
        == Some(3)
}

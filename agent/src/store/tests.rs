//! What is kept, what is taken back, and what is discarded.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::model::{
    Action, Affinity, AppProtocol, ContainerPort, EndpointHints, Enrolment, Exemption, IpBlock, Membership, MtlsMode,
    NotEnrolled, ObjectName, OnAgentFailure, Operation, Pod, PolicyId, PolicyKind, PortMtls, Principal, Rule, Service,
    ServicePort, ServiceTarget, Source, Target, TrafficDistribution, Transport,
    policy::sample::{mk_authentication, mk_authorization, mk_contents, mk_labels, mk_policies},
    route::sample::mk_full_route,
    sample::{NODE, mk_address, mk_endpoint, mk_pod, mk_port, mk_service},
};

fn mk_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("a/b")).unwrap();
    (folder, store)
}

/// A mesh in which each field has a value that is not its default.
fn mk_mesh() -> Mesh {
    let pod = Pod {
        labels: mk_labels(&[("app", "web")]),
        ports: vec![ContainerPort {
            name: Some("http".into()),
            port: 8080,
            transport: Transport::Tcp,
        }],
        probe_ports: vec![9090],
        netns: Some("/run/netns/web".into()),
        terminating: true,
        ..mk_pod("web", "10.0.0.1")
    };
    let out = Pod {
        enrolment: Enrolment::Out(NotEnrolled::Sandboxed),
        on_agent_failure: OnAgentFailure::Closed,
        ..mk_pod("out", "fd00::1")
    };
    let endpoint = crate::model::Endpoint {
        hints: EndpointHints {
            zones: vec!["zone-a".into()],
            nodes: vec![NODE.into()],
        },
        hostname: Some("web-0".into()),
        ..mk_endpoint("[fd00:1::1]:8080")
    };
    let service = Service {
        external_ips: vec![IpAddr::from([192, 0, 2, 1])],
        external_name: Some("example.org".into()),
        publish_not_ready: true,
        ports: vec![ServicePort {
            name: "http".into(),
            app_protocol: Some(AppProtocol::Grpc),
            ..mk_port(80, vec![endpoint])
        }],
        traffic_distribution: Some(TrafficDistribution::SameNode),
        affinity: Some(Affinity {
            timeout: Duration::from_secs(7),
        }),
        ..mk_service("web", &["10.96.0.1"])
    };
    Mesh::new(Contents {
        exemptions: vec![Exemption(mk_address("10.96.0.2:443"))],
        failing_closed: ["default".into()].into(),
        policies: mk_written_policies(),
        routes: vec![Arc::new(mk_full_route())],
        ..mk_contents(vec![pod, out], vec![service], crate::model::Policies::default())
    })
}

fn mk_written_policies() -> crate::model::Policies {
    let source = Source {
        principals: vec![Principal::Any],
        not_namespaces: vec!["other".into()],
        pod_labels: mk_labels(&[("app", "front")]),
        ip_blocks: vec![IpBlock {
            cidr: "10.0.0.0/8".parse().unwrap(),
            except: vec!["10.1.0.0/16".parse().unwrap()],
        }],
        ..Source::default()
    };
    let rule = Rule {
        from: vec![source],
        to: vec![Operation {
            ports: vec![8080],
            ..Operation::default()
        }],
    };
    let authorization = crate::model::AuthorizationPolicy {
        target: Target::Services(vec![ServiceTarget {
            service: "web".into(),
            section: Some("http".into()),
        }]),
        ..mk_authorization("allow", Action::Allow, vec![rule])
    };
    let mut authentication = mk_authentication("strict", MtlsMode::Strict);
    authentication.created = Some(100);
    authentication.mtls.plaintext_from = Some(["fd00::/8".parse().unwrap()].into());
    authentication.mtls.ports.insert(
        9090,
        PortMtls {
            mode: Some(MtlsMode::Permissive),
            plaintext_from: None,
        },
    );
    let mut policies = mk_policies(vec![authorization], vec![authentication]);
    let membership = Membership {
        service: ObjectName::new("default", "web"),
        ports: vec![("http".into(), Some(8080))],
    };
    policies
        .memberships
        .insert(crate::model::PodUid::new("uid-web"), vec![membership]);
    policies.undecodable = vec![PolicyId {
        kind: PolicyKind::AuthenticationPolicy,
        name: ObjectName::new("other", "broken"),
    }];
    policies.enrolled_namespaces.insert("default".into());
    policies.network_policies.insert("default".into(), 7);
    policies
}

fn error(store: &Store) -> String {
    let error = store.load(NODE).expect_err("it is discarded");
    error.to_string().replace(&store.file().display().to_string(), "FILE")
}

#[test]
fn what_is_kept_is_taken_back_whole() {
    let (_folder, store) = mk_store();
    assert!(store.load(NODE).unwrap().is_none());
    let mesh = mk_mesh();
    store.save(&mesh).unwrap();
    let saved = store.load(NODE).unwrap().expect("it is there");
    assert!(mesh.changed(saved.contents.clone()).is_none(), "nothing differs");
    let again = Mesh::new(saved.contents);
    assert_eq!(again.generation, mesh.generation);
    let web = &again.pods[&crate::model::PodUid::new("uid-web")];
    assert_eq!(web.on_agent_failure, OnAgentFailure::Closed, "Strict");
    let given = again
        .contents()
        .pods
        .into_iter()
        .find(|pod| *pod.name.name == *"web")
        .unwrap();
    assert_eq!(given.on_agent_failure, OnAgentFailure::Open, "as it came");
}

#[test]
fn the_next_one_takes_the_place_of_the_last() {
    let (_folder, store) = mk_store();
    store.save(&mk_mesh()).unwrap();
    fs::write(store.folder.join(DRAFT), "left by a dead agent").unwrap();
    let empty = Mesh::new(mk_contents(vec![], vec![], crate::model::Policies::default()));
    store.save(&empty).unwrap();
    assert!(store.load(NODE).unwrap().expect("it is there").contents.pods.is_empty());
    let names: Vec<_> = fs::read_dir(&store.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE]);
}

#[test]
fn the_file_is_the_agents_alone_and_others_are_discarded() {
    let (_folder, store) = mk_store();
    store.save(&mk_mesh()).unwrap();
    assert_eq!(fs::metadata(store.file()).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(&store.folder).unwrap().mode() & 0o7777, 0o700);
    fs::set_permissions(store.file(), Permissions::from_mode(0o620)).unwrap();
    assert_eq!(error(&store), "FILE does not belong to the agent's user alone");
}

#[test]
fn what_is_not_understood_is_discarded() {
    let (_folder, store) = mk_store();
    store.save(&mk_mesh()).unwrap();
    let whole = fs::read_to_string(store.file()).unwrap();
    let write = |text: &str| fs::write(store.file(), text).unwrap();
    write(&whole[..whole.len() / 2]);
    assert_eq!(error(&store), "FILE is not what an agent writes");
    write(&whole.replace("\"version\":3", "\"version\":4"));
    assert_eq!(error(&store), "FILE is of version 4, and this weft reads 3");
    write(&whole.replace("Sandboxed", "Boxed"));
    assert_eq!(error(&store), "FILE is not what an agent writes");
    for (from, to) in [("\"plaintext_from\"", "\"plaintext_of\""), ("\"zone\":\"zone-a\",", "")] {
        write(&whole.replacen(from, to, 1));
        assert_eq!(error(&store), "FILE has fields that are not known, or lacks some");
    }
    write(&whole.replace("node-1", "node-7"));
    assert_eq!(error(&store), "FILE is of the node node-7");
    write(&whole);
    assert!(store.load(NODE).unwrap().is_some());
}

#[test]
fn a_mesh_is_as_old_as_its_last_confirmation() {
    let (_folder, store) = mk_store();
    store.save(&mk_mesh()).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    File::options()
        .write(true)
        .open(store.file())
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    assert_eq!(store.load(NODE).unwrap().unwrap().confirmed, long_ago);
    store.confirm().unwrap();
    let confirmed = store.load(NODE).unwrap().unwrap().confirmed;
    assert!(confirmed.elapsed().unwrap_or_default() < Duration::from_secs(60));
}

/// A file of this version must be read by every agent of this version: whoever changes this test counts VERSION up.
#[test]
fn the_layout_of_this_version_stays() {
    let written = Written {
        version: VERSION,
        contents: &mk_mesh().contents(),
    };
    let value = serde_json::to_value(written).unwrap();
    assert_eq!(shape(&value), include_str!("tests/layout.txt"));
}

/// All keys of a value, one a line, with the kind of what they hold.
fn shape(value: &Value) -> String {
    fn add(value: &Value, path: &str, shape: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(key, value)| add(value, &format!("{path}.{key}"), shape)),
            Value::Array(items) if !items.is_empty() => {
                items.iter().for_each(|item| add(item, &format!("{path}[]"), shape));
            }
            Value::Array(_) => drop(shape.insert(format!("{path}: empty list"))),
            Value::Null => drop(shape.insert(format!("{path}: null"))),
            Value::Bool(_) => drop(shape.insert(format!("{path}: boolean"))),
            Value::Number(_) => drop(shape.insert(format!("{path}: number"))),
            Value::String(_) => drop(shape.insert(format!("{path}: text"))),
        }
    }
    let mut lines = std::collections::BTreeSet::new();
    add(value, "", &mut lines);
    lines.into_iter().map(|line| line + "\n").collect()
}

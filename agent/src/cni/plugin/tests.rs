//! The plugin as a runtime calls it, beside an agent that lives, stalls, or is away.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::net::{UnixListener, UnixStream},
    sync::mpsc,
    thread,
};

use tempfile::TempDir;

use super::{super::SOCKET, *};

/// What the plugin printed.
#[derive(Debug, PartialEq)]
struct Printed {
    result: Value,
    code: u64,
}

fn mk_folder(roll: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("enrolled.json"),
        format!("{{\"namespaces\":{{{roll}}}}}"),
    )
    .unwrap();
    folder
}

fn mk_result() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "sandbox": "/run/netns/x" }],
        "ips": [{ "address": "10.1.0.5/16", "interface": 0 }],
        "dns": { "nameservers": ["10.96.0.10"] },
    })
}

fn mk_config(folder: &TempDir) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "weft-cni",
        "runDir": folder.path(), "prevResult": mk_result(),
    })
}

fn called(config: &Value, variables: &[(&str, &str)]) -> Printed {
    let defaults = [
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/proc/self/ns/net"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-0;K8S_POD_UID=u1"),
    ];
    let variable = |name: &str| {
        let mut pairs = variables.iter().chain(&defaults);
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let mut version = String::new();
    match answer(variable, config.to_string().as_bytes(), &mut version) {
        Ok(result) => Printed {
            result: result.unwrap_or(Value::Null),
            code: 0,
        },
        Err(failure) => {
            let result = serde_json::to_value(failure.written(&version)).unwrap();
            Printed {
                code: result["code"].as_u64().unwrap(),
                result,
            }
        }
    }
}

fn add(config: &Value) -> Printed {
    called(config, &[("CNI_COMMAND", "ADD")])
}

fn passed() -> Printed {
    Printed {
        result: mk_result(),
        code: 0,
    }
}

/// An agent that gives this answer to one plugin; what was asked comes out of the channel.
fn agent(folder: &TempDir, reply: Reply) -> mpsc::Receiver<Value> {
    let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
    let (asked, questions) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _): (UnixStream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        asked.send(serde_json::from_str(&line).unwrap()).unwrap();
        stream.write_all(&super::super::wire::line(&reply).unwrap()).unwrap();
    });
    questions
}

#[test]
fn a_pod_that_the_agent_has_captured_starts_with_the_result_as_it_was() {
    let folder = mk_folder(r#""shop":"closed""#);
    let asked = agent(&folder, Reply::Captured);
    assert_eq!(add(&mk_config(&folder)), passed());
    assert_eq!(
        asked.recv().unwrap(),
        json!({
            "verb": "add", "container": "c1", "ips": ["10.1.0.5"], "patience": 10_000,
            "pod": { "namespace": "shop", "name": "cart-0", "uid": "u1" },
        })
    );
}

#[test]
fn a_pod_must_wait_when_the_agent_says_so_and_the_reason_is_told() {
    let folder = mk_folder(r#""shop":"closed""#);
    let reason = "its network namespace is not there yet".to_owned();
    let _asked = agent(&folder, Reply::Wait { reason });
    let printed = add(&mk_config(&folder));
    assert_eq!(printed.code, 11);
    assert_eq!(
        printed.result["msg"],
        "weft: the pod is to be in the mesh and is not captured yet: its network namespace is not there yet"
    );
}

#[test]
fn without_an_agent_only_pods_that_must_not_be_outside_the_mesh_wait() {
    for roll in ["", r#""other":"closed""#] {
        assert_eq!(add(&mk_config(&mk_folder(roll))), passed(), "{roll}");
    }
    let no_roll = TempDir::new().unwrap();
    assert_eq!(add(&mk_config(&no_roll)), passed());

    let code = |standing| settle(standing, Err(Away::Silent)).map_err(|failure| failure.code());
    assert_eq!(code(Standing::Unlisted), Ok(()));
    assert_eq!(code(Standing::Listed(OnAgentFailure::Open)), Ok(()));
    assert_eq!(code(Standing::Listed(OnAgentFailure::Closed)), Err(11));
}

#[test]
fn whatever_else_goes_wrong_holds_up_no_pod_that_may_be_outside_the_mesh() {
    let odd = |folder: &TempDir| {
        let mut config = mk_config(folder);
        config["prevResult"]["ips"] = json!([{ "address": "here" }]);
        config
    };
    let gone = [("CNI_COMMAND", "ADD"), ("CNI_NETNS", "/run/netns/gone")];
    let plain = mk_folder("");
    assert_eq!(add(&odd(&plain)).code, 0);
    assert_eq!(called(&mk_config(&plain), &gone).code, 0);
    let closed = mk_folder(r#""shop":"closed""#);
    assert_eq!(add(&odd(&closed)).code, 6);
    assert_eq!(called(&mk_config(&closed), &gone).code, 5);
}

#[test]
fn what_is_not_kubernetes_passes() {
    let folder = mk_folder(r#""shop":"closed""#);
    let printed = called(&mk_config(&folder), &[("CNI_COMMAND", "ADD"), ("CNI_ARGS", "")]);
    assert_eq!(printed, passed());
}

#[test]
fn a_plugin_that_is_not_chained_or_speaks_another_version_says_so() {
    let folder = mk_folder("");
    let mut config = mk_config(&folder);
    config["prevResult"] = Value::Null;
    assert_eq!(add(&config).code, 7);
    config["cniVersion"] = "0.2.0".into();
    let printed = add(&config);
    assert_eq!((printed.code, &printed.result["cniVersion"]), (1, &json!("0.2.0")));
}

#[test]
fn a_deletion_always_succeeds_and_tells_the_agent() {
    let folder = mk_folder(r#""shop":"closed""#);
    let nothing = Printed {
        result: Value::Null,
        code: 0,
    };
    let gone = [("CNI_COMMAND", "DEL"), ("CNI_NETNS", "")];
    assert_eq!(called(&mk_config(&folder), &gone), nothing);
    let asked = agent(&folder, Reply::Done);
    assert_eq!(called(&mk_config(&folder), &gone), nothing);
    assert_eq!(asked.recv().unwrap(), json!({ "verb": "del", "container": "c1" }));
}

#[test]
fn a_collection_names_the_sandboxes_that_are_left() {
    let folder = mk_folder("");
    let asked = agent(&folder, Reply::Done);
    let config = json!({
        "cniVersion": "1.1.0", "runDir": folder.path(),
        "cni.dev/valid-attachments": [{ "containerID": "c1", "ifname": "eth0" }],
    });
    assert_eq!(called(&config, &[("CNI_COMMAND", "GC")]).code, 0);
    assert_eq!(asked.recv().unwrap(), json!({ "verb": "gc", "containers": ["c1"] }));
}

#[test]
fn a_check_fails_only_when_the_agent_says_that_something_is_wrong() {
    let check = [("CNI_COMMAND", "CHECK")];
    let away = mk_folder(r#""shop":"closed""#);
    assert_eq!(called(&mk_config(&away), &check).code, 0);
    for (reply, code) in [
        (Reply::Captured, 0),
        (Reply::NotEnrolled, 0),
        (Reply::Wait { reason: "x".to_owned() }, 100),
    ] {
        let folder = mk_folder(r#""shop":"closed""#);
        let _asked = agent(&folder, reply);
        assert_eq!(called(&mk_config(&folder), &check).code, code);
    }
}

#[test]
fn the_node_is_ready_for_other_pods_while_the_agent_is_away() {
    let folder = mk_folder(r#""shop":"closed""#);
    let config = json!({ "cniVersion": "1.1.0", "runDir": folder.path() });
    assert_eq!(called(&config, &[("CNI_COMMAND", "STATUS")]).code, 0);
}

#[test]
fn the_versions_are_told_in_the_runtimes_own() {
    let printed = called(&json!({ "cniVersion": "0.4.0" }), &[("CNI_COMMAND", "VERSION")]);
    assert_eq!(
        printed.result,
        json!({ "cniVersion": "0.4.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] })
    );
}

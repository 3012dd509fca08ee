//! Lists as the usual network plugins install them.

use super::*;

/// Debian's and Podman's.
const BRIDGE: &str = r#"{
  "cniVersion": "1.0.0", "name": "containerd-net",
  "plugins": [
    { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "promiscMode": true,
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.88.0.0/16" }], [{ "subnet": "2001:db8:4860::/64" }]],
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] } },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}"#;

const FLANNEL: &str = r#"{
  "name": "cbr0", "cniVersion": "0.3.1",
  "plugins": [
    { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}"#;

const CALICO: &str = r#"{
  "name": "k8s-pod-network", "cniVersion": "0.3.1",
  "plugins": [
    { "type": "calico", "log_level": "info", "log_file_path": "/var/log/calico/cni/cni.log",
      "datastore_type": "kubernetes", "nodename": "node-1", "mtu": 0,
      "ipam": { "type": "calico-ipam" }, "policy": { "type": "k8s" },
      "kubernetes": { "kubeconfig": "/etc/cni/net.d/calico-kubeconfig" } },
    { "type": "portmap", "snat": true, "capabilities": { "portMappings": true } },
    { "type": "bandwidth", "capabilities": { "bandwidth": true } }
  ]
}"#;

const CILIUM: &str = r#"{
  "cniVersion": "0.3.1", "name": "cilium",
  "plugins": [{ "type": "cilium-cni", "enable-debug": false, "log-file": "/var/run/cilium/cilium-cni.log" }]
}"#;

const KINDNET: &str = r#"{
  "cniVersion": "0.3.1", "name": "kindnet",
  "plugins": [
    { "type": "ptp", "ipMasq": false, "mtu": 1500,
      "ipam": { "type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{ "dst": "0.0.0.0/0" }],
                "ranges": [[{ "subnet": "10.244.0.0/24" }]] } },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}"#;

const SINGLE: &str = r#"{ "cniVersion": "0.3.1", "name": "mynet", "type": "bridge", "bridge": "cni0",
    "ipam": { "type": "host-local", "subnet": "10.22.0.0/16" } }"#;

const MULTUS: &str = r#"{ "cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus",
    "clusterNetwork": "/host/etc/cni/net.d/10-calico.conflist" }"#;

fn run_dir() -> &'static Path {
    Path::new("/run/weft/cni")
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn changed(list: &str) -> String {
    match chained(list, run_dir()) {
        Ok(Chained::Changed(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn our_entry_comes_last_in_every_list_and_leaves_it_as_if_it_had_not_been() {
    for list in [BRIDGE, FLANNEL, CALICO, CILIUM, KINDNET] {
        let with = changed(list);
        let mut expected = value(list);
        let plugins = expected["plugins"].as_array_mut().unwrap();
        plugins.push(json!({ "type": "weft-cni", "runDir": "/run/weft/cni" }));
        assert_eq!(value(&with), expected);
        assert_eq!(chained(&with, run_dir()).unwrap(), Chained::Already);
        assert_eq!(value(&unchained(&with).unwrap()), value(list));
        assert_eq!(unchained(list), None);
    }
}

#[test]
fn an_entry_that_is_not_the_last_or_is_an_older_one_is_put_right() {
    let mut odd = value(&changed(CALICO));
    let plugins = odd["plugins"].as_array_mut().unwrap();
    let mut ours = plugins.pop().unwrap();
    ours["runDir"] = "/elsewhere".into();
    plugins.insert(1, ours);
    assert_eq!(value(&changed(&odd.to_string())), value(&changed(CALICO)));
}

#[test]
fn a_single_plugin_becomes_a_list_that_names_its_file() {
    let list = chained_single(SINGLE, "10-mynet.conf", run_dir()).unwrap();
    assert_eq!(
        value(&list),
        json!({
            "cniVersion": "0.3.1",
            "name": "mynet",
            "weft.dev/made-of": "10-mynet.conf",
            "plugins": [value(SINGLE), { "type": "weft-cni", "runDir": "/run/weft/cni" }],
        })
    );
    assert_eq!(made_of(&list).as_deref(), Some("10-mynet.conf"));
    assert_eq!(made_of(&changed(BRIDGE)), None);
}

#[test]
fn what_would_keep_pods_from_starting_is_left_alone() {
    let bad = [
        "",
        "[]",
        "{",
        r#"{ "cniVersion": "1.0.0", "name": "x" }"#,
        r#"{ "cniVersion": "1.0.0", "plugins": [] }"#,
        r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "weft-cni" }] }"#,
        r#"{ "cniVersion": "0.2.0", "plugins": [{ "type": "bridge" }] }"#,
        r#"{ "cniVersion": "9.0.0", "plugins": [{ "type": "bridge" }] }"#,
        r#"{ "plugins": [{ "type": "bridge" }] }"#,
    ];
    for list in bad {
        assert!(chained(list, run_dir()).is_err(), "{list}");
        assert!(chained_single(list, "x.conf", run_dir()).is_err(), "{list}");
    }
}

#[test]
fn multus_is_told_from_the_networks_that_it_calls() {
    assert!(only_delegates(MULTUS));
    assert!(only_delegates(r#"{ "plugins": [{ "type": "multus" }] }"#));
    for other in [SINGLE, CALICO, "{}", "x"] {
        assert!(!only_delegates(other), "{other}");
    }
}

#[test]
fn files_are_what_their_names_say() {
    let kinds = [
        "10-a.conflist",
        "10-a.conf",
        "10-a.json",
        "a.conf.bak",
        ".conf",
        "a",
        ".a.conflist.new",
    ]
    .map(Kind::of);
    let [list, single] = [Some(Kind::List), Some(Kind::Single)];
    assert_eq!(kinds, [list, single, single, None, None, None, None]);
}

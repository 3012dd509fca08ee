//! `weft validate` and the API server refuse the same: one table of manifests, told to both.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use harness::{ApiServer, api_server};
use serde_json::Value;

/// What both make of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

use Verdict::{Bad, Good};

/// A policy's kind, its spec, and what is made of it.
const POLICIES: &[(&str, &str, Verdict)] = &[
    // Targets.
    (AUTHN, "{}", Good),
    (AUTHN, "{targetRefs: [{kind: Service, name: web}]}", Good),
    (
        AUTHN,
        "{targetRefs: [{group: '', kind: Service, name: web, sectionName: http}]}",
        Good,
    ),
    (AUTHN, "{selector: {}}", Good),
    (AUTHN, "{selector: {matchLabels: {app: web}}}", Good),
    (AUTHN, "{targetRefs: [{kind: Service, name: web}], selector: {}}", Bad),
    (AUTHN, "{targetRefs: []}", Bad),
    (AUTHN, "{targetRefs: [{kind: Gateway, name: web}]}", Bad),
    (AUTHN, "{targetRefs: [{group: apps, kind: Service, name: web}]}", Bad),
    (AUTHN, "{targetRefs: [{kind: Service}]}", Bad),
    (AUTHN, "{targetRefs: [{kind: Service, name: Web}]}", Bad),
    (
        AUTHN,
        "{targetRefs: [{kind: Service, name: web, sectionName: a_b}]}",
        Bad,
    ),
    (AUTHN, "{targetrefs: []}", Bad),
    // Mutual TLS.
    (AUTHN, "{mtls: {mode: Strict}}", Good),
    (
        AUTHN,
        "{mtls: {mode: Permissive, plaintextFrom: [10.0.0.0/8, 'fd00::/8', 10.0.0.1/8]}}",
        Good,
    ),
    (AUTHN, "{mtls: {plaintextFrom: []}}", Good),
    (AUTHN, "{mtls: {ports: [{port: 1}, {port: 65535, mode: Strict}]}}", Good),
    (AUTHN, "{mtls: {mode: strict}}", Bad),
    (AUTHN, "{mtls: {mode: Mutual}}", Bad),
    (AUTHN, "{mtls: {plaintextFrom: [10.0.0.0]}}", Bad),
    (AUTHN, "{mtls: {plaintextFrom: [10.0.0.0/33]}}", Bad),
    (AUTHN, "{mtls: {plaintextFrom: [010.0.0.0/8]}}", Bad),
    (AUTHN, "{mtls: {plaintextFrom: ['fd00::/129']}}", Bad),
    (AUTHN, "{mtls: {ports: [{port: 0}]}}", Bad),
    (AUTHN, "{mtls: {ports: [{port: 65536}]}}", Bad),
    (AUTHN, "{mtls: {ports: [{mode: Strict}]}}", Bad),
    (AUTHN, "{mtls: {ports: [{port: 80}, {port: 80}]}}", Bad),
    (AUTHN, "{mtls: {ports: [{port: 80, mode: Off}]}}", Bad),
    (AUTHN, "{mtls: {ports: [{port: 80, plaintextFrom: [here]}]}}", Bad),
    (AUTHN, "{mtls: {modes: Strict}}", Bad),
    (AUTHN, "{mtls: Strict}", Bad),
    // Actions and rules.
    (AUTHZ, "{}", Good),
    (AUTHZ, "{action: ALLOW}", Good),
    (AUTHZ, "{action: DENY, rules: []}", Good),
    (AUTHZ, "{action: AUDIT, rules: [{}]}", Good),
    (AUTHZ, "{rules: [{from: [{}], to: [{}]}]}", Good),
    (AUTHZ, "{targetRefs: [{kind: Service, name: web}], selector: {}}", Bad),
    (AUTHZ, "{action: Allow}", Bad),
    (AUTHZ, "{action: PERMIT}", Bad),
    (AUTHZ, "{rules: [{from: []}]}", Bad),
    (AUTHZ, "{rules: [{to: []}]}", Bad),
    (AUTHZ, "{rules: [{when: []}]}", Bad),
    // Who.
    (
        AUTHZ,
        "{rules: [{from: [{principals: ['*', a/b, a/*, 'spiffe://x.org/ns/a/sa/b', 'spiffe://x.org/ns/a/sa/*']}]}]}",
        Good,
    ),
    (AUTHZ, "{rules: [{from: [{notPrincipals: [a.b/c_d]}]}]}", Good),
    (AUTHZ, "{rules: [{from: [{principals: []}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{principals: [a]}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{principals: ['*/b']}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{principals: [a/b/c]}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{principals: ['../b']}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{from: [{principals: ['spiffe://X.org/ns/a/sa/b']}]}]}",
        Bad,
    ),
    (AUTHZ, "{rules: [{from: [{principals: ['spiffe://x.org/a/b']}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{from: [{notPrincipals: ['https://x.org/ns/a/sa/b']}]}]}",
        Bad,
    ),
    (
        AUTHZ,
        "{rules: [{from: [{namespaces: [a], notNamespaces: [b-c]}]}]}",
        Good,
    ),
    (AUTHZ, "{rules: [{from: [{namespaces: []}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{namespaces: [A]}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{notNamespaces: [a.b]}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{from: [{namespaces: [a], podLabels: {app: web}}]}]}",
        Good,
    ),
    (AUTHZ, "{rules: [{from: [{namespaces: [a], podLabels: {}}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{notPodLabels: {}}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{from: [{ipBlocks: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}]}]}]}",
        Good,
    ),
    (AUTHZ, "{rules: [{from: [{notIpBlocks: [{cidr: 'fd00::/8'}]}]}]}", Good),
    (AUTHZ, "{rules: [{from: [{ipBlocks: []}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{ipBlocks: [{cidr: 10.0.0}]}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{ipBlocks: [{except: [10.1.0.0/16]}]}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{from: [{ipBlocks: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}]}]}",
        Bad,
    ),
    (
        AUTHZ,
        "{rules: [{from: [{ipBlocks: [{cidr: 10.0.0.0/8, except: ['fd00::/16']}]}]}]}",
        Bad,
    ),
    (
        AUTHZ,
        "{rules: [{from: [{notIpBlocks: [{cidr: 10.0.0.0/8, except: [there]}]}]}]}",
        Bad,
    ),
    (AUTHZ, "{rules: [{from: [{claims: [{name: sub, values: [a]}]}]}]}", Good),
    (AUTHZ, "{rules: [{from: [{claims: [{values: [a]}]}]}]}", Bad),
    (AUTHZ, "{rules: [{from: [{principal: a/b}]}]}", Bad),
    // Where.
    (AUTHZ, "{rules: [{to: [{ports: [1, 65535], notPorts: [80]}]}]}", Good),
    (AUTHZ, "{rules: [{to: [{ports: []}]}]}", Bad),
    (AUTHZ, "{rules: [{to: [{ports: [0]}]}]}", Bad),
    (AUTHZ, "{rules: [{to: [{notPorts: [-1]}]}]}", Bad),
    (AUTHZ, "{rules: [{to: [{ports: [65536]}]}]}", Bad),
    (AUTHZ, "{rules: [{to: [{ports: ['80']}]}]}", Bad),
    (
        AUTHZ,
        "{rules: [{to: [{methods: [GET], paths: [/a], hosts: [x], headers: [{name: a, values: [b]}]}]}]}",
        Good,
    ),
    (AUTHZ, "{rules: [{to: [{headers: [{values: [b]}]}]}]}", Bad),
    (AUTHZ, "{rules: [{to: [{port: 80}]}]}", Bad),
];

/// A MeshConfig's name and spec, and what is made of it.
const MESH_CONFIGS: &[(&str, &str, Verdict)] = &[
    ("default", "{}", Good),
    (
        "default",
        "{trustDomain: a.b, clusterDomain: c, egress: Deny, denyUdpEgress: true, podCIDRs: [fd00::/8]}",
        Good,
    ),
    ("default", "{mtls: {mode: Strict}, systemNamespace: mesh}", Good),
    ("other", "{}", Bad),
    ("default", "{trustDomain: A B}", Bad),
    ("default", "{clusterDomain: a..b}", Bad),
    ("default", "{egress: deny}", Bad),
    ("default", "{egres: Deny}", Bad),
    ("default", "{denyUdpEgress: 'yes'}", Bad),
    ("default", "{mtls: {mode: strict}}", Bad),
    ("default", "{podCIDRs: [10.0.0.0]}", Bad),
    ("default", "{systemNamespace: a.b}", Bad),
];

#[test]
fn what_validate_refuses_the_api_server_refuses_and_nothing_else() {
    let api: ApiServer = api_server!();
    install(&api);
    let cases: Vec<(String, Verdict)> = POLICIES
        .iter()
        .enumerate()
        .map(|(index, (kind, spec, verdict))| (policy(index, kind, spec), *verdict))
        .collect();
    let all: String = cases.iter().map(|(text, _)| text.as_str()).collect();
    let (valid, taken) = (validated(&all), taken(&api, &all));
    let mut wrong = Vec::new();
    for (index, (text, verdict)) in cases.iter().enumerate() {
        let name = format!("case-{index}");
        let found = [valid.contains(&name), taken.contains(&name)];
        if found != [*verdict == Good; 2] {
            wrong.push(format!("validate and the API server took it: {found:?}\n{text}"));
        }
    }
    // They all have one name: each for itself.
    for (name, spec, verdict) in MESH_CONFIGS {
        let text = format!("---\napiVersion: {VERSION}\nkind: MeshConfig\nmetadata: {{name: {name}}}\nspec: {spec}\n");
        let found = [
            validated(&text).contains(*name),
            self::taken(&api, &text).contains(*name),
        ];
        if found != [*verdict == Good; 2] {
            wrong.push(format!("validate and the API server took it: {found:?}\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_object_without_a_spec_leaves_everything_out() {
    let api: ApiServer = api_server!();
    install(&api);
    let text = format!("apiVersion: {VERSION}\nkind: {AUTHZ}\nmetadata: {{name: a, namespace: shop}}\n");
    let expected = BTreeSet::from(["a".to_owned()]);
    assert_eq!([validated(&text), taken(&api, &text)], [expected.clone(), expected]);
}

#[test]
fn kubectl_shows_what_matters_of_a_policy() {
    let api: ApiServer = api_server!();
    install(&api);
    api.apply(&policy(0, AUTHZ, "{action: DENY}"));
    let status = r#"{"status": {"ancestors": [{
        "ancestorRef": {"kind": "Namespace", "name": "shop"}, "controllerName": "weft.dev/controller",
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    }]}}"#;
    patch_status(&api, "authzpol", "case-0", status);
    let shown = api.kubectl(&["get", "weft", "--namespace=shop", "--no-headers"]).stdout;
    let columns: Vec<&str> = shown.split_whitespace().take(3).collect();
    assert_eq!(columns[1..], ["DENY", "True"], "{shown}");
    api.apply(&format!(
        "apiVersion: {VERSION}\nkind: MeshConfig\nmetadata: {{name: default}}\nspec: {{trustDomain: a.b, egress: Deny}}\n"
    ));
    let status = r#"{"status": {"conditions": [
        {"type": "Accepted", "status": "False", "reason": "Invalid", "message": "",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ]}}"#;
    patch_status(&api, "meshconfig", "default", status);
    let shown = api.kubectl(&["get", "meshconfig", "default", "--no-headers"]).stdout;
    let columns: Vec<&str> = shown.split_whitespace().take(4).collect();
    assert_eq!(columns, ["default", "a.b", "Deny", "False"], "{shown}");
    let explained = api.kubectl(&["explain", "authzpol.spec.rules.from.principals"]).stdout;
    assert!(explained.contains("spiffe://"), "{explained}");
}

/// Gives the API server Weft's kinds, and a namespace.
fn install(api: &ApiServer) {
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/crds");
    let applied = api.kubectl(&["apply", "--server-side", "--filename", crds]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    let served = api.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    assert_eq!(served.code, Some(0), "{}", served.stderr);
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
}

/// Writes an object's status, as a controller does.
fn patch_status(api: &ApiServer, kind: &str, name: &str, status: &str) {
    // A kind without namespaces leaves it out of account.
    let of = ["--namespace=shop", "--subresource=status", "--type=merge", "--patch"];
    let patched = api.kubectl(&[&["patch", kind, name], &of[..], &[status]].concat());
    assert_eq!(patched.code, Some(0), "{}", patched.stderr);
}

fn policy(index: usize, kind: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: {VERSION}\nkind: {kind}\nmetadata: {{name: case-{index}, namespace: shop}}\nspec: {spec}\n"
    )
}

/// The names of those in which `weft validate` finds no error.
fn validated(text: &str) -> BTreeSet<String> {
    let mut validate = Command::new(harness::weft())
        .args(["validate", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all before it writes.
    validate.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&validate.wait_with_output().unwrap().stdout).unwrap();
    let problems = answer["problems"].as_array().unwrap().iter();
    let refused: BTreeSet<&str> = problems
        .filter(|problem| problem["severity"] == "error")
        .filter_map(|problem| problem["object"].as_str()?.rsplit([' ', '/']).next())
        .collect();
    names(text).filter(|name| !refused.contains(name.as_str())).collect()
}

/// The names of those which the API server would take.
fn taken(api: &ApiServer, text: &str) -> BTreeSet<String> {
    let arguments = [
        "create",
        "--dry-run=server",
        "--validate=strict",
        "--output=name",
        "--filename=-",
    ];
    let created = api.kubectl_with(&arguments, text);
    let names = created.stdout.lines().filter_map(|line| line.rsplit('/').next());
    names.map(str::to_owned).collect()
}

fn names(text: &str) -> impl Iterator<Item = String> {
    let names = text
        .split("{name: ")
        .skip(1)
        .filter_map(|rest| rest.split([',', '}']).next());
    // References have names too.
    let own: Vec<String> = names
        .filter(|name| name.starts_with("case-") || ["default", "other", "a"].contains(name))
        .map(str::to_owned)
        .collect();
    own.into_iter()
}

const VERSION: &str = "mesh.weft.dev/v1alpha1";
const AUTHN: &str = "AuthenticationPolicy";
const AUTHZ: &str = "AuthorizationPolicy";

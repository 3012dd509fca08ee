//! The routes of the cases.

use harness::Object;
use serde_json::{Value, json};

use super::{CONSUMERS, NAMESPACE};

/// A route for the port 80 of `echo`.
fn echo(rules: Value) -> Vec<Object> {
    let parent = json!({ "group": "", "kind": "Service", "name": "echo", "port": 80 });
    vec![route("HTTPRoute", NAMESPACE, "echo", parent, rules)]
}

fn route(kind: &str, namespace: &str, name: &str, parent: Value, rules: Value) -> Object {
    Object::route(kind, &format!("{namespace}/{name}"), parent, rules)
}

/// A route of a service by which its answers are marked.
fn marking(namespace: &str, service: &str, port: Option<u16>, mark: &str) -> Object {
    let mut parent = json!({ "group": "", "kind": "Service", "name": service, "namespace": NAMESPACE });
    if let Some(port) = port {
        parent["port"] = port.into();
    }
    let set = json!({ "set": [{ "name": "X-Header-Set", "value": mark }] });
    let rules = json!([{
        "filters": [{ "type": "ResponseHeaderModifier", "responseHeaderModifier": set }],
        "backendRefs": [{ "name": service, "namespace": NAMESPACE, "port": 80 }],
    }]);
    route("HTTPRoute", namespace, service, parent, rules)
}

pub(super) fn none() -> Vec<Object> {
    Vec::new()
}

pub(super) fn simple() -> Vec<Object> {
    echo(json!([{ "backendRefs": backend("echo-v1") }]))
}

fn backend(name: &str) -> Value {
    json!([{ "name": name, "port": 8080 }])
}

fn prefix(path: &str) -> Value {
    json!({ "path": { "type": "PathPrefix", "value": path } })
}

fn version(value: &str) -> Value {
    json!({ "headers": [{ "name": "version", "value": value }] })
}

pub(super) fn matching() -> Vec<Object> {
    echo(json!([
        { "matches": [prefix("/"), version("one")], "backendRefs": backend("echo-v1") },
        { "matches": [prefix("/v2"), version("two")], "backendRefs": backend("echo-v2") },
    ]))
}

pub(super) fn named() -> Vec<Object> {
    echo(json!([
        { "name": "named-rule", "matches": [prefix("/named")], "backendRefs": backend("echo-v1") },
        { "matches": [prefix("/unnamed")], "backendRefs": backend("echo-v2") },
    ]))
}

pub(super) fn split() -> Vec<Object> {
    let rule = |path: &str, name: &str| {
        json!({
            "matches": [{ "path": { "type": "Exact", "value": path } }],
            "backendRefs": [{ "name": name, "port": 80 }],
        })
    };
    let parent = json!({ "group": "", "kind": "Service", "name": "echo" });
    let rules = json!([rule("/v1", "echo-v1"), rule("/v2", "echo-v2")]);
    vec![route("HTTPRoute", NAMESPACE, "echo", parent, rules)]
}

pub(super) fn query() -> Vec<Object> {
    let animal = |name: &str, mut others: Value| {
        others["queryParams"] = json!([{ "name": "animal", "value": name }]);
        others
    };
    let mut kraken = prefix("/path4");
    kraken["headers"] = version("three")["headers"].clone();
    echo(json!([
        { "matches": [animal("whale", json!({}))], "backendRefs": backend("echo-v1") },
        { "matches": [animal("dolphin", json!({}))], "backendRefs": backend("echo-v2") },
        { "matches": [animal("whale", prefix("/path1"))], "backendRefs": backend("echo-v1") },
        { "matches": [animal("whale", version("one"))], "backendRefs": backend("echo-v2") },
        { "matches": [animal("shark", prefix("/path3")), animal("kraken", kraken)], "backendRefs": backend("echo-v1") },
        { "matches": [prefix("/path5")], "backendRefs": backend("echo-v1") },
        { "matches": [animal("hydra", json!({}))], "backendRefs": backend("echo-v2") },
    ]))
}

/// Rules that lead requests below a path elsewhere.
fn redirects(rules: &[(&str, Value)]) -> Vec<Object> {
    let rules = rules.iter().map(|(path, to)| {
        json!({ "matches": [prefix(path)], "filters": [{ "type": "RequestRedirect", "requestRedirect": to }] })
    });
    echo(rules.collect())
}

pub(super) fn see_other() -> Vec<Object> {
    redirects(&[("/redirect", json!({ "statusCode": 303 }))])
}

pub(super) fn temporary() -> Vec<Object> {
    redirects(&[("/temporary", json!({ "statusCode": 307 }))])
}

pub(super) fn permanent() -> Vec<Object> {
    redirects(&[("/permanent", json!({ "statusCode": 308 }))])
}

pub(super) fn host_and_status() -> Vec<Object> {
    redirects(&[
        ("/hostname-redirect", json!({ "hostname": "example.org" })),
        (
            "/host-and-status",
            json!({ "hostname": "example.org", "statusCode": 301 }),
        ),
    ])
}

pub(super) fn redirected_paths() -> Vec<Object> {
    let prefix = json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": "/replacement-prefix" });
    let full = |path: &str| json!({ "type": "ReplaceFullPath", "replaceFullPath": path });
    redirects(&[
        ("/original-prefix", json!({ "path": prefix })),
        ("/full", json!({ "path": full("/full-path-replacement") })),
        ("/path-and-host", json!({ "path": prefix, "hostname": "example.org" })),
        ("/path-and-status", json!({ "path": prefix, "statusCode": 301 })),
        (
            "/full-path-and-host",
            json!({ "path": full("/replacement-full"), "hostname": "example.org" }),
        ),
        (
            "/full-path-and-status",
            json!({ "path": full("/replacement-full"), "statusCode": 301 }),
        ),
    ])
}

pub(super) fn ports() -> Vec<Object> {
    redirects(&[
        ("/port", json!({ "port": 8083 })),
        ("/port-and-host", json!({ "port": 8083, "hostname": "example.org" })),
        ("/port-and-status", json!({ "port": 8083, "statusCode": 301 })),
        (
            "/port-and-host-and-status",
            json!({ "port": 8083, "hostname": "example.org", "statusCode": 302 }),
        ),
    ])
}

pub(super) fn schemes() -> Vec<Object> {
    redirects(&[
        ("/scheme", json!({ "scheme": "https" })),
        (
            "/scheme-and-host",
            json!({ "scheme": "https", "hostname": "example.org" }),
        ),
        ("/scheme-and-status", json!({ "scheme": "https", "statusCode": 301 })),
        (
            "/scheme-and-host-and-status",
            json!({ "scheme": "https", "hostname": "example.org", "statusCode": 302 }),
        ),
    ])
}

/// What becomes of headers, by path.
fn modifiers() -> Vec<(&'static str, Value)> {
    let field = |name: &str, value: &str| json!({ "name": name, "value": value });
    vec![
        (
            "/set",
            json!({ "set": [field("X-Header-Set", "set-overwrites-values")] }),
        ),
        ("/add", json!({ "add": [field("X-Header-Add", "add-appends-values")] })),
        ("/remove", json!({ "remove": ["X-Header-Remove"] })),
        (
            "/multiple",
            json!({
                "set": [field("X-Header-Set-1", "header-set-1"), field("X-Header-Set-2", "header-set-2")],
                "add": [
                    field("X-Header-Add-1", "header-add-1"),
                    field("X-Header-Add-2", "header-add-2"),
                    field("X-Header-Add-3", "header-add-3"),
                ],
                "remove": ["X-Header-Remove-1", "X-Header-Remove-2"],
            }),
        ),
        (
            "/case-insensitivity",
            json!({
                "set": [field("X-Header-Set", "header-set")],
                "add": [field("X-Header-Add", "header-add")],
                "remove": ["X-Header-Remove"],
            }),
        ),
    ]
}

fn modifier(change: &Value) -> Value {
    json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": change })
}

pub(super) fn rules_modify() -> Vec<Object> {
    let rules = modifiers().into_iter().map(|(path, change)| {
        json!({ "matches": [prefix(path)], "filters": [modifier(&change)], "backendRefs": backend("echo-v1") })
    });
    echo(rules.collect())
}

pub(super) fn backends_modify() -> Vec<Object> {
    let rules = modifiers().into_iter().map(|(path, change)| {
        let backend = json!({ "name": "echo-v1", "port": 8080, "filters": [modifier(&change)] });
        json!({ "matches": [prefix(path)], "backendRefs": [backend] })
    });
    echo(rules.collect())
}

pub(super) fn rewrites() -> Vec<Object> {
    let part = |path: &str| json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": path });
    let full = |path: &str| json!({ "type": "ReplaceFullPath", "replaceFullPath": path });
    let change = modifier(&json!({
        "set": [{ "name": "X-Header-Set", "value": "set-overwrites-values" }],
        "add": [
            { "name": "X-Header-Add", "value": "header-val-1" },
            { "name": "X-Header-Add-Append", "value": "header-val-2" },
        ],
        "remove": ["X-Header-Remove"],
    }));
    let rule = |path: &str, to: Value, others: &[Value]| {
        let mut filters = vec![json!({ "type": "URLRewrite", "urlRewrite": { "path": to } })];
        filters.extend_from_slice(others);
        json!({ "matches": [prefix(path)], "filters": filters, "backendRefs": [{ "name": "echo-v1", "port": 80 }] })
    };
    echo(json!([
        rule("/prefix/one", part("/one"), &[]),
        rule("/strip-prefix", part("/"), &[]),
        rule("/full/one", full("/one"), &[]),
        rule(
            "/full/rewrite-path-and-modify-headers",
            full("/test"),
            std::slice::from_ref(&change)
        ),
        rule("/prefix/rewrite-path-and-modify-headers", part("/prefix"), &[change]),
    ]))
}

pub(super) fn weighted() -> Vec<Object> {
    echo(json!([{ "backendRefs": [
        { "name": "echo-v1", "port": 8080, "weight": 70 },
        { "name": "echo-v2", "port": 8080, "weight": 30 },
    ] }]))
}

pub(super) fn weighted_calls() -> Vec<Object> {
    let parent = json!({ "group": "", "kind": "Service", "name": "echo", "port": 7070 });
    let rules = json!([{ "backendRefs": [
        { "name": "echo-v1", "port": 7070, "weight": 70 },
        { "name": "echo-v2", "port": 7070, "weight": 30 },
        { "name": "echo-v3", "port": 7070, "weight": 0 },
    ] }]);
    vec![route("GRPCRoute", NAMESPACE, "echo", parent, rules)]
}

pub(super) fn consumers() -> Vec<Object> {
    vec![marking(CONSUMERS, "echo-v1", None, "set")]
}

pub(super) fn of_one_service() -> Vec<Object> {
    vec![marking(NAMESPACE, "echo-v2", None, "set")]
}

pub(super) fn of_one_port() -> Vec<Object> {
    vec![
        marking(NAMESPACE, "echo-v1", Some(80), "v1"),
        marking(NAMESPACE, "echo-v2", None, "v2"),
    ]
}

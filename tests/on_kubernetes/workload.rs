//! Objects of the tests, with defaults for all that a test does not care for.

use serde_json::{Value, json};

/// A pod of the sample application.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    name: String,
    node: Option<String>,
    labels: Value,
    probe: Value,
}

// === impl Pod ===

impl Pod {
    /// A pod with a server of every protocol: [`HTTP`], [`LINES`], [`SERVER_FIRST`], [`GRPC`].
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            node: None,
            labels: json!({"app": name}),
            probe: json!({"httpGet": {"path": "/ready", "port": HTTP}, "periodSeconds": 1}),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// On this node; else wherever there is room.
    pub(crate) fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// With this label `app`; else it is the pod's name.
    pub(crate) fn app(mut self, app: &str) -> Self {
        self.labels = json!({"app": app});
        self
    }

    /// Ready by this probe; else by HTTP.
    pub(crate) fn probe(mut self, probe: Value) -> Self {
        self.probe = probe;
        self.probe["periodSeconds"] = 1.into();
        self
    }

    pub(crate) fn object(&self) -> Value {
        let port = |name: &str, port: u16| json!({"name": name, "containerPort": port});
        let serve = |flag: &str, port: u16| format!("--{flag}={port}");
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {
                "nodeName": self.node,
                "terminationGracePeriodSeconds": 2,
                "containers": [{
                    "name": "sample",
                    "image": image(),
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "serve",
                        serve("http", HTTP),
                        serve("tcp", LINES),
                        serve("server-first", SERVER_FIRST),
                        serve("grpc", GRPC),
                    ],
                    "ports": [port("http", HTTP), port("lines", LINES), port("first", SERVER_FIRST), port("grpc", GRPC)],
                    "readinessProbe": self.probe,
                }],
            },
        })
    }
}

/// A service of both families for the pods of an app, at the same ports.
pub(crate) fn service(app: &str) -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app},
        "spec": {
            "selector": {"app": app},
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [port("http", HTTP), port("lines", LINES), port("first", SERVER_FIRST), port("grpc", GRPC)],
        },
    })
}

/// The sample application's image, as `cargo xtask cluster load` names it.
fn image() -> String {
    format!("weft.dev/sample:{}", env!("CARGO_PKG_VERSION"))
}

pub(crate) const HTTP: u16 = 8080;
pub(crate) const LINES: u16 = 9000;
pub(crate) const SERVER_FIRST: u16 = 9001;
pub(crate) const GRPC: u16 = 9002;

//! Objects of the tests, with defaults for all that a test does not care for.

use serde_json::{Value, json};

/// A pod of the sample application.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    name: String,
    labels: Value,
    spec: Value,
}

// === impl Pod ===

impl Pod {
    /// A pod with a server of every protocol: [`HTTP`], [`LINES`], [`SERVER_FIRST`], [`GRPC`].
    pub(crate) fn new(name: &str) -> Self {
        let serve = |flag: &str, port: u16| format!("--{flag}={port}");
        let args = [
            "serve".to_owned(),
            serve("http", HTTP),
            serve("tcp", LINES),
            serve("server-first", SERVER_FIRST),
            serve("grpc", GRPC),
        ];
        let pod = Self::running(name, &args.each_ref().map(String::as_str));
        let port = |name: &str, port: u16| json!({"name": name, "containerPort": port});
        let ports = [
            port("http", HTTP),
            port("lines", LINES),
            port("first", SERVER_FIRST),
            port("grpc", GRPC),
        ];
        pod.container(&json!({"ports": ports}))
            .probe(json!({"httpGet": {"path": "/ready", "port": HTTP}}))
    }

    /// A pod with a client that calls over a new connection each time until it is stopped, and logs each outcome.
    pub(crate) fn caller(name: &str, target: &str) -> Self {
        Self::running(name, &["call", target, "--until-stopped", "--fresh", "--interval=20ms"])
    }

    /// A pod whose application is started with these arguments.
    pub(crate) fn running(name: &str, args: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            labels: json!({"app": name}),
            spec: json!({"terminationGracePeriodSeconds": 2, "containers": [container("sample", args)]}),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// On this node; else wherever there is room.
    pub(crate) fn on(self, node: &str) -> Self {
        self.spec(&json!({"nodeName": node}))
    }

    /// With this label `app`; else it is the pod's name.
    pub(crate) fn app(self, app: &str) -> Self {
        self.label("app", app)
    }

    /// With this label.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.labels[key] = value.into();
        self
    }

    /// Ready by this probe; else by HTTP.
    pub(crate) fn probe(self, probe: Value) -> Self {
        let mut probe = probe;
        probe["periodSeconds"] = 1.into();
        self.container(&json!({"readinessProbe": null}))
            .container(&json!({"readinessProbe": probe}))
    }

    /// With a container before it that calls a server once, and fails as the call does.
    pub(crate) fn after_calling(self, target: &str) -> Self {
        self.spec(&json!({"initContainers": [container("first", &["call", target])], "restartPolicy": "Never"}))
    }

    /// With this beside or instead of what its spec has (RFC 7386).
    pub(crate) fn spec(mut self, patch: &Value) -> Self {
        merge(&mut self.spec, patch);
        self
    }

    /// The same of its container.
    pub(crate) fn container(mut self, patch: &Value) -> Self {
        merge(&mut self.spec["containers"][0], patch);
        self
    }

    pub(crate) fn object(&self) -> Value {
        let mut object = self.template();
        merge(
            &mut object,
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}}),
        );
        object
    }

    /// The same for an object that makes pods.
    pub(crate) fn template(&self) -> Value {
        json!({"metadata": {"labels": self.labels}, "spec": self.spec})
    }
}

fn container(name: &str, args: &[&str]) -> Value {
    json!({"name": name, "image": image(), "imagePullPolicy": "IfNotPresent", "args": args})
}

/// Applies a patch as RFC 7386 says.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// A service of both families for the pods of an app, at the same ports.
pub(crate) fn service(app: &str) -> Value {
    service_with(app, &json!({}))
}

/// The same, with this beside or instead of what its spec has.
pub(crate) fn service_with(app: &str, patch: &Value) -> Value {
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port});
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app},
        "spec": {
            "selector": {"app": app},
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [port("http", HTTP), port("lines", LINES), port("first", SERVER_FIRST), port("grpc", GRPC)],
        },
    });
    merge(&mut service["spec"], patch);
    service
}

/// Says whom the pods of the namespace, or those with this label `app`, take plaintext from.
pub(crate) fn mtls(app: Option<&str>, mtls: &Value) -> Value {
    let mut spec = json!({"mtls": mtls});
    if let Some(app) = app {
        spec["selector"] = json!({"matchLabels": {"app": app}});
    }
    json!({
        "apiVersion": "mesh.weft.dev/v1alpha1",
        "kind": "AuthenticationPolicy",
        "metadata": {"name": app.unwrap_or("all")},
        "spec": spec,
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

//! The folder of manifests which the agents of a lab read, and the objects in it.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::Addresses;

/// A folder of manifests, one object a file; a file is always replaced as a whole.
#[derive(Debug)]
pub struct Manifests {
    folder: PathBuf,
    /// On the same filesystem, seen by nobody.
    drafts: PathBuf,
}

/// A Kubernetes object. JSON is YAML.
#[derive(Clone, Debug)]
pub struct Object {
    value: Value,
}

// === impl Manifests ===

impl Manifests {
    pub(crate) fn new(parent: &Path) -> Self {
        let [folder, drafts] = ["manifests", "drafts"].map(|name| parent.join(name));
        for path in [&folder, &drafts] {
            fs::create_dir(path).expect("a folder can be made in a fresh one");
        }
        Self { folder, drafts }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes an object or replaces it.
    pub fn apply(&self, object: &Object) {
        let text = serde_json::to_string_pretty(&object.value).expect("JSON values can be written");
        self.write(&object.file(), &text);
    }

    /// Removes an object; one that is not there is gone already.
    pub fn delete(&self, object: &Object) {
        self.remove(&object.file());
    }

    /// Writes a file of whatever content, at once and whole.
    pub fn write(&self, file: &str, text: &str) {
        static DRAFTS: AtomicU32 = AtomicU32::new(0);
        let draft = self.drafts.join(DRAFTS.fetch_add(1, Ordering::Relaxed).to_string());
        fs::write(&draft, text).expect("a draft can be written");
        fs::rename(&draft, self.folder.join(file)).expect("a draft can be put in its place");
    }

    /// Removes a file; one that is not there is gone already.
    pub fn remove(&self, file: &str) {
        match fs::remove_file(self.folder.join(file)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("{file}: {error}"),
        }
    }

    /// Writes a namespace that is in the mesh and fails open, which is the default.
    pub fn enrolled(&self, name: &str) {
        self.apply(&Object::namespace(name).label("weft.dev/mesh", "enabled"));
    }

    /// Writes a namespace that is in the mesh and fails closed.
    pub fn enrolled_closed(&self, name: &str) {
        let object = Object::namespace(name)
            .label("weft.dev/mesh", "enabled")
            .label("weft.dev/on-agent-failure", "closed");
        self.apply(&object);
    }

    /// Writes a namespace that is not in the mesh.
    pub fn plain(&self, name: &str) {
        self.apply(&Object::namespace(name));
    }
}

// === impl Object ===

impl Object {
    /// Takes the object as the API writes it.
    pub fn new(value: Value) -> Self {
        Self { value }
    }

    /// A Namespace without labels.
    pub fn namespace(name: &str) -> Self {
        Self::new(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": {} } }))
    }

    /// A Service, `namespace/name`, of both families, without ports, for the pods whose label `app` is `app`.
    pub fn service(name: &str, addresses: Addresses, app: &str) -> Self {
        let mut object = Self::named("v1", "Service", name);
        object.value["spec"] = json!({
            "clusterIP": addresses.v4,
            "clusterIPs": [addresses.v4, addresses.v6],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
            "selector": { "app": app },
            "ports": [],
        });
        object
    }

    /// A headless Service without ports.
    pub fn headless(name: &str, app: &str) -> Self {
        let mut object = Self::named("v1", "Service", name);
        object.value["spec"] =
            json!({ "clusterIP": "None", "clusterIPs": ["None"], "selector": { "app": app }, "ports": [] });
        object
    }

    /// An EndpointSlice of a service, `namespace/name`, without endpoints.
    pub fn slice(name: &str, service: &str, ports: &[(&str, u16)]) -> Self {
        let mut object =
            Self::named("discovery.k8s.io/v1", "EndpointSlice", name).label("kubernetes.io/service-name", service);
        object.value["addressType"] = "IPv4".into();
        object.value["endpoints"] = json!([]);
        let port = |(name, port): &(&str, u16)| json!({ "name": name, "port": port, "protocol": "TCP" });
        object.value["ports"] = ports.iter().map(port).collect();
        object
    }

    /// The `MeshConfig` with this spec.
    pub fn mesh_config(spec: Value) -> Self {
        Self::new(json!({
            "apiVersion": "mesh.weft.dev/v1alpha1",
            "kind": "MeshConfig",
            "metadata": { "name": "default" },
            "spec": spec,
        }))
    }

    /// A security policy, `namespace/name`, with this spec.
    pub fn policy(kind: &str, name: &str, spec: Value) -> Self {
        let mut object = Self::named("mesh.weft.dev/v1alpha1", kind, name);
        object.value["spec"] = spec;
        object
    }

    /// A route of the Gateway API, `namespace/name`, with these rules for this parent.
    pub fn route(kind: &str, name: &str, parent: Value, rules: Value) -> Self {
        let route = Self::named("gateway.networking.k8s.io/v1", kind, name);
        route.spec("parentRefs", vec![parent]).spec("rules", rules)
    }

    /// Sets a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.value["metadata"]["labels"][key] = value.into();
        self
    }

    /// Sets a field of the spec.
    pub fn spec(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.value["spec"][field] = value.into();
        self
    }

    /// Adds a TCP port to a Service; the target is a number or a name.
    pub fn port(mut self, name: &str, port: u16, target: impl Into<Value>) -> Self {
        let port = json!({ "name": name, "port": port, "targetPort": target.into(), "protocol": "TCP" });
        self.value["spec"]["ports"]
            .as_array_mut()
            .expect("a Service has ports")
            .push(port);
        self
    }

    /// Adds an endpoint that is ready to an EndpointSlice; its family sets the slice's.
    pub fn endpoint(self, address: IpAddr) -> Self {
        self.endpoint_with(
            address,
            json!({ "conditions": { "ready": true, "serving": true, "terminating": false } }),
        )
    }

    /// Adds an endpoint with these other fields to an EndpointSlice.
    pub fn endpoint_with(mut self, address: IpAddr, mut fields: Value) -> Self {
        self.value["addressType"] = if address.is_ipv4() { "IPv4" } else { "IPv6" }.into();
        fields["addresses"] = json!([address]);
        self.value["endpoints"]
            .as_array_mut()
            .expect("a slice has endpoints")
            .push(fields);
        self
    }

    /// Its name, without its namespace.
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().expect("each object has a name")
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        let metadata = &self.value["metadata"];
        let parts = [&metadata["namespace"], &metadata["name"]];
        parts.map(|part| part.as_str().unwrap_or_default()).join("/")
    }

    /// The object as the API writes it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The object, to be changed.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }

    fn named(api_version: &str, kind: &str, name: &str) -> Self {
        let (namespace, name) = name.split_once('/').expect("an object is named namespace/name");
        let metadata = json!({ "namespace": namespace, "name": name, "labels": {} });
        Self::new(json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata }))
    }

    fn file(&self) -> String {
        let metadata = &self.value["metadata"];
        let parts = [&self.value["kind"], &metadata["namespace"], &metadata["name"]];
        parts
            .into_iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("_")
            + ".yaml"
    }
}

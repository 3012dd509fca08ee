//! Two nodes and their pods: once outside the mesh for the others, once inside for Weft; and once more for Weft without
//! pools.

use std::net::SocketAddrV4;

use anyhow::Result;
use harness::{Lab, Node, Object, Pod};
use serde_json::json;

use super::{ca::Ca, layer::Layer, origin::Origins};

/// What all targets stand on. Fields drop in their order: pods before their nodes.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) plain: Pods,
    pub(super) ca: Ca,
    pub(super) mesh: Mesh,
    /// For agents which keep no connection to each other.
    pub(super) unpooled: Mesh,
    pub(super) lab: Lab,
}

/// Enrolled pods and their nodes.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) pods: Pods,
    pub(super) near: Node,
    pub(super) far: Node,
}

/// A client with a server on its own node and one on the other.
#[derive(Debug)]
pub(super) struct Pods {
    _servers: [Origins; 2],
    pub(super) client: Pod,
    pub(super) near: Pod,
    pub(super) far: Pod,
}

/// Where the server stands, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    SameNode,
    AcrossNodes,
}

// === impl Topology ===

impl Topology {
    /// Makes the nodes, the pods and the servers in them.
    pub(super) fn start() -> Result<Self> {
        let lab = Lab::new();
        lab.manifests().plain("plain");
        // Agents greet pods of other nodes which no Service names, as these, where they know the pods' ranges.
        let ranges = ["10.101.0.0/16", "10.102.0.0/16", "10.103.0.0/16", "10.104.0.0/16"];
        lab.manifests()
            .apply(&Object::mesh_config(json!({ "podCIDRs": ranges })));
        let mesh = Mesh::start(&lab, "mesh", ["near", "far"])?;
        Ok(Self {
            plain: Pods::start(&lab, "plain", &mesh.near, &mesh.far)?,
            ca: Ca::start(&lab, &mesh.near)?,
            unpooled: Mesh::start(&lab, "unpooled", ["near-unpooled", "far-unpooled"])?,
            mesh,
            lab,
        })
    }
}

// === impl Mesh ===

impl Mesh {
    /// Its pods take nothing but mutual TLS, so that what is measured is that.
    fn start(lab: &Lab, namespace: &str, nodes: [&str; 2]) -> Result<Self> {
        lab.manifests().enrolled(namespace);
        let strict = json!({ "mtls": { "mode": "Strict" } });
        let name = format!("{namespace}/strict");
        lab.manifests()
            .apply(&Object::policy("AuthenticationPolicy", &name, strict));
        let [near, far] = nodes.map(|name| lab.node(name));
        Ok(Self {
            pods: Pods::start(lab, namespace, &near, &far)?,
            near,
            far,
        })
    }
}

// === impl Pods ===

impl Pods {
    /// The server's pod.
    pub(super) fn server(&self, place: Place) -> &Pod {
        match place {
            Place::SameNode => &self.near,
            Place::AcrossNodes => &self.far,
        }
    }

    /// Where the server listens.
    pub(super) fn address(&self, place: Place, layer: Layer) -> SocketAddrV4 {
        SocketAddrV4::new(self.server(place).addresses().v4, layer.port())
    }

    fn start(lab: &Lab, namespace: &str, near: &Node, far: &Node) -> Result<Self> {
        let pod = |node: &Node, name| {
            let name = format!("{namespace}/{name}");
            // Named ports of a Service say what each speaks.
            let service = Layer::ALL
                .iter()
                .fold(Object::headless(&name, app(&name)), |service, layer| {
                    service.port(layer.port_name(), layer.port(), layer.port())
                });
            lab.manifests().apply(&service);
            node.pod(&name).start()
        };
        let (client, near, far) = (pod(near, "client"), pod(near, "near"), pod(far, "far"));
        Ok(Self {
            _servers: [Origins::start(lab, &near)?, Origins::start(lab, &far)?],
            client,
            near,
            far,
        })
    }
}

// === impl Place ===

impl Place {
    pub(super) const ALL: [Self; 2] = [Self::SameNode, Self::AcrossNodes];
}

/// The label of a pod of the harness.
fn app(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

//! A pod: a namespace behind its node's bridge, and its object among the manifests.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{Addresses, App, Dial, Netns, Node, Object, Server, lab::Shared};

/// A simulated pod. Dropped, its namespace goes first and its object then, as a kubelet and an API server do it.
#[derive(Debug)]
pub struct Pod {
    lab: Arc<Shared>,
    node: Arc<Netns>,
    netns: Netns,
    link: String,
    object: Object,
    addresses: Addresses,
}

/// A pod to be.
#[derive(Debug)]
pub struct Start<'a> {
    node: &'a Node,
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    container: Value,
    addresses: Option<Addresses>,
    host_network: bool,
}

// === impl Pod ===

impl Pod {
    /// Its namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its addresses.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its object as it stands among the manifests.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        self.object.value()["metadata"]["uid"]
            .as_str()
            .expect("each pod has a UID")
    }

    /// The name of the node's end of its veth.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Runs the closure in a thread inside the pod.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.run(work)
    }

    /// Starts an application on a TCP port, on all addresses of both families.
    pub fn serve(&self, port: u16, app: App) -> Server {
        Server::tcp(
            &self.netns,
            SocketAddr::from(([0u16; 8], port)),
            self.object.name(),
            app,
        )
    }

    /// Starts an application on one address.
    pub fn serve_at(&self, address: SocketAddr, app: App) -> Server {
        Server::tcp(&self.netns, address, self.object.name(), app)
    }

    /// Starts a UDP echo on all addresses of both families.
    pub fn serve_udp(&self, port: u16) -> Server {
        Server::udp(&self.netns, SocketAddr::from(([0u16; 8], port)))
    }

    /// Connects from inside the pod, with the deadlines of [`Dial`].
    pub fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.dial(to).connect()
    }

    /// Prepares a connection from inside the pod.
    pub fn dial(&self, to: SocketAddr) -> Dial<'_> {
        Dial::new(&self.netns, to)
    }

    /// Writes the pod's object again, changed.
    pub fn update(&mut self, change: impl FnOnce(&mut Value)) {
        change(self.object.value_mut());
        self.lab.manifests.apply(&self.object);
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // The link goes at once whoever still holds the namespace: the address may be used again.
        let _ = self.node.try_ip(&format!("link del {}\n", self.link));
        crate::netns::forget(&self.netns.path());
        self.lab.manifests.delete(&self.object);
    }
}

// === impl Start ===

impl<'a> Start<'a> {
    pub(crate) fn new(node: &'a Node, name: &str) -> Self {
        let short = name.split_once('/').expect("a pod is named namespace/name").1;
        Self {
            node,
            name: name.to_owned(),
            labels: BTreeMap::from([("app".to_owned(), short.to_owned())]),
            annotations: BTreeMap::new(),
            container: json!({ "name": "app", "image": "app", "ports": [] }),
            addresses: None,
            host_network: false,
        }
    }

    /// Sets a label; `app` is the pod's name unless set.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Declares a TCP port.
    pub fn port(mut self, name: &str, port: u16) -> Self {
        let ports = self.container["ports"].as_array_mut().expect("the ports are a list");
        ports.push(json!({ "name": name, "containerPort": port }));
        self
    }

    /// Declares a readiness probe on a TCP port.
    pub fn probe(mut self, port: u16) -> Self {
        self.container["readinessProbe"] = json!({ "tcpSocket": { "port": port } });
        self
    }

    /// Gives the pod these addresses, as when another had them before.
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Says that the pod is of the host's network (its namespace is still one of its own).
    pub fn host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// Makes the namespace and writes the object.
    pub fn start(self) -> Pod {
        let pod = self.start_unannounced();
        pod.lab.manifests.apply(&pod.object);
        pod
    }

    /// Makes the namespace; the agents hear of it with [`Pod::update`] only.
    pub fn start_unannounced(self) -> Pod {
        static PODS: AtomicU32 = AtomicU32::new(1);
        let number = PODS.fetch_add(1, Ordering::Relaxed);
        let (lab, node) = (self.node.lab(), self.node.netns());
        let addresses = self.addresses.unwrap_or_else(|| self.node.next_addresses());
        let (namespace, name) = self.name.split_once('/').expect("checked by new");

        let netns = Netns::create(&format!("{}{namespace}.{name}.{number}", lab.prefix));
        let link = format!("veth{number}");
        node.ip(&format!(
            "link add {link} type veth peer name eth0 netns {}\nlink set {link} master cni0 up\n",
            netns.name()
        ));
        let gateway = self.node.gateway();
        netns.ip(&format!(
            "link set lo up\n\
             address add {v4}/16 dev eth0\naddress add {v6}/64 dev eth0 nodad\n\
             link set eth0 up\n\
             route add default via {gateway4}\nroute add default via {gateway6}\n",
            v4 = addresses.v4,
            v6 = addresses.v6,
            gateway4 = gateway.v4,
            gateway6 = gateway.v6,
        ));

        let mut annotations = self.annotations;
        annotations.insert("weft.dev/netns".to_owned(), netns.path().display().to_string());
        let object = Object::new(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": format!("{:08x}-0000-4000-8000-{number:012x}", std::process::id()),
                "labels": self.labels,
                "annotations": annotations,
            },
            "spec": {
                "nodeName": self.node.name(),
                "serviceAccountName": "default",
                "hostNetwork": self.host_network,
                "containers": [self.container],
            },
            "status": {
                "phase": "Running",
                "podIP": addresses.v4,
                "podIPs": [{ "ip": addresses.v4 }, { "ip": addresses.v6 }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }));
        Pod {
            lab: Arc::clone(lab),
            node: Arc::clone(node),
            netns,
            link,
            object,
            addresses,
        }
    }
}

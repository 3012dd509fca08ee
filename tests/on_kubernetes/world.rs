//! The cluster under test, and a namespace of it for each test.

use std::{
    env,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cluster::{Cluster, Kubectl, Program, Programs};
use harness::{Family, current_test, wait};
use serde_json::{Value, json};

use crate::workload::Pod;

/// A namespace of the test's own. Dropped, it is deleted with all in it.
#[derive(Debug)]
pub(crate) struct World {
    kubectl: Kubectl,
    namespace: String,
}

/// What a caller in a pod was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which pod answered.
    pub(crate) pod: String,
    /// The address by which it knew the caller.
    pub(crate) client: SocketAddr,
}

// === impl World ===

impl World {
    pub(crate) fn new() -> Self {
        Self::labelled(&json!({}))
    }

    /// A namespace with these labels.
    pub(crate) fn labelled(labels: &Value) -> Self {
        let test = current_test();
        let name = test.rsplit("::").next().unwrap_or(&test).replace('_', "-");
        // A run before this one may still be on its way out.
        let namespace = format!("{:.40}-{}", name, std::process::id());
        let world = Self {
            kubectl: kubectl(),
            namespace,
        };
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": world.namespace, "labels": labels},
        });
        world.apply(&object);
        wait::until(PATIENCE, "the namespace's service account", || {
            world.run(&["get", "serviceaccount", "default"]).is_ok()
        });
        world
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Applies an object; one without a namespace gets the test's.
    pub(crate) fn apply(&self, object: &Value) {
        let mut object = object.clone();
        if object["kind"] != "Namespace" && object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = self.namespace.clone().into();
        }
        self.kubectl
            .apply(&object.to_string())
            .unwrap_or_else(|error| panic!("{error:#}\n{object:#}"));
    }

    /// Runs `kubectl` in the namespace.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        self.kubectl.run(&arguments).map_err(|error| format!("{error:#}"))
    }

    /// Reads an object of the namespace, or a list.
    pub(crate) fn get(&self, what: &[&str]) -> Value {
        let printed = self.run(&[&["get", "--output=json"], what].concat()).unwrap();
        serde_json::from_str(&printed).unwrap()
    }

    /// Starts pods, and waits until all are ready.
    pub(crate) fn start(&self, pods: &[Pod]) {
        pods.iter().for_each(|pod| self.apply(&pod.object()));
        let names: Vec<_> = pods.iter().map(|pod| format!("pod/{}", pod.name())).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        let waited = self.run(&[&["wait", "--for=condition=Ready", &patience][..], &names[..]].concat());
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.run(&["describe", "pods"]).unwrap_or_default()));
    }

    /// A pod's address.
    pub(crate) fn address(&self, pod: &str, family: Family) -> IpAddr {
        let ips = self.get(&["pod", pod])["status"]["podIPs"].clone();
        let ips: Vec<_> = ips.as_array().unwrap().iter().map(|ip| ip["ip"].clone()).collect();
        of_family(&ips, family)
    }

    /// A service's address.
    pub(crate) fn cluster_ip(&self, service: &str, family: Family) -> IpAddr {
        let ips = self.get(&["service", service])["spec"]["clusterIPs"].clone();
        of_family(ips.as_array().unwrap(), family)
    }

    /// Calls from a pod, once.
    pub(crate) fn call(&self, from: &str, target: &str) -> Result<Answer, String> {
        let printed = self.run(&["exec", from, "--", "/sample", "call", target])?;
        let line: Value = serde_json::from_str(printed.lines().next().unwrap_or_default()).unwrap();
        Ok(Answer {
            pod: line["pod"].as_str().unwrap().to_owned(),
            client: line["client"].as_str().unwrap().parse().unwrap(),
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Its end takes half a minute, which nobody waits for.
        let _ = self
            .kubectl
            .run(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// The simulated cluster, unless the tests run on somebody else's.
pub(crate) fn simulated() -> Option<Cluster> {
    if env::var_os("KUBECONFIG").is_some() {
        return None;
    }
    let name = env::var("WEFT_CLUSTER").unwrap_or_else(|_| "dev".to_owned());
    let cluster = Cluster::named(&name).unwrap();
    assert!(cluster.runs().unwrap(), "no cluster {name}: `cargo xtask cluster up`");
    Some(cluster)
}

/// The command line of the cluster under test.
pub(crate) fn kubectl() -> Kubectl {
    match (simulated(), env::var_os("KUBECONFIG")) {
        (Some(cluster), _) => cluster.kubectl().unwrap(),
        (None, Some(kubeconfig)) => {
            let program = Programs::cached().unwrap().path(Program::Kubectl).unwrap();
            Kubectl::new(program, kubeconfig.as_ref())
        }
        (None, None) => unreachable!("without KUBECONFIG it is the simulated one"),
    }
}

fn of_family(ips: &[Value], family: Family) -> IpAddr {
    let mut ips = ips.iter().filter_map(|ip| ip.as_str()?.parse().ok());
    let found = ips.find(|ip: &IpAddr| match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    });
    found.unwrap_or_else(|| panic!("no address of {family:?}"))
}

/// How long anything may take that has no bound of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

//! The cluster under test, and a namespace of it for each test.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use cluster::{Cluster, Kubectl, Node, Program, Programs};
use harness::{Family, current_test, wait};
use serde_json::{Value, json};

use crate::workload::{HTTP, Pod, mtls};

/// A namespace of the test's own. Dropped, it is deleted with all in it.
#[derive(Debug)]
pub(crate) struct World {
    kubectl: Kubectl,
    namespace: String,
    _turn: Rc<Turn>,
}

/// A test's share of the cluster.
#[derive(Debug)]
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// What became of a call of a pod that calls again and again.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When it ended.
    pub(crate) at: SystemTime,
    /// Which pod answered, or why none did.
    pub(crate) outcome: Result<String, String>,
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
    /// A namespace outside the mesh.
    pub(crate) fn new() -> Self {
        Self::make(Turn::shared(), "", &json!({}))
    }

    /// A namespace of the mesh.
    pub(crate) fn enrolled() -> Self {
        Self::make(Turn::shared(), "", &enrolled())
    }

    /// A namespace of the mesh that takes no plaintext.
    pub(crate) fn strict() -> Self {
        let world = Self::enrolled();
        world.apply(&mtls(None, &json!({"mode": "Strict"})));
        world
    }

    /// A namespace of the mesh for a test that others would notice: it has the cluster for itself.
    pub(crate) fn alone() -> Self {
        Self::make(Turn::alone(), "", &enrolled())
    }

    /// Another namespace of the same test, outside the mesh.
    pub(crate) fn beside(&self) -> Self {
        Self::make(Rc::clone(&self._turn), "-2", &json!({}))
    }

    fn make(turn: Rc<Turn>, suffix: &str, labels: &Value) -> Self {
        let test = current_test();
        let name = test.rsplit("::").next().unwrap_or(&test).replace('_', "-");
        // A run before this one may still be on its way out.
        let namespace = format!("{:.40}-{}{suffix}", name, std::process::id());
        let world = Self {
            kubectl: kubectl(),
            namespace,
            _turn: turn,
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

    /// Labels the namespace itself: `key=value`, or `key-`.
    pub(crate) fn label(&self, label: &str) {
        self.kubectl
            .run(&["label", "namespace", &self.namespace, label])
            .unwrap();
    }

    /// What a calling pod has logged so far.
    pub(crate) fn calls(&self, pod: &str) -> Vec<Call> {
        let logged = self.run(&["logs", "--timestamps", pod]).unwrap_or_default();
        logged.lines().filter_map(Call::of_line).collect()
    }

    /// Waits until a calling pod's last so many calls were all answered, or all were not.
    pub(crate) fn until_calls(&self, pod: &str, answered: bool) {
        let what = format!("calls of {pod} answered: {answered}");
        wait::until(PATIENCE, what, || {
            let calls = self.calls(pod);
            let last = calls.iter().rev().take(STEADY);
            calls.len() >= STEADY && last.into_iter().all(|call| call.outcome.is_ok() == answered)
        });
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

    /// The target of a pod's HTTP server by its IPv4 address.
    pub(crate) fn http(&self, pod: &str) -> String {
        format!("http://{}/", SocketAddr::new(self.address(pod, Family::V4), HTTP))
    }

    /// The name of a service, as all pods of the cluster find it.
    pub(crate) fn name_of(&self, service: &str) -> String {
        format!("{service}.{}.svc.cluster.local", self.namespace)
    }

    /// Which pods answer when a pod calls so; all calls must be answered.
    pub(crate) fn answers(&self, from: &str, call: &[&str]) -> BTreeSet<String> {
        let printed = self.run(&[&["exec", from, "--", "/sample", "call"], call].concat());
        let lines = printed.unwrap();
        let pods = lines.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["pod"].as_str().map(str::to_owned)
        });
        pods.collect()
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

// === impl Turn ===

impl Turn {
    fn shared() -> Rc<Self> {
        Rc::new(Self::Shared {
            _guard: TURNS.read().unwrap_or_else(PoisonError::into_inner),
        })
    }

    fn alone() -> Rc<Self> {
        Rc::new(Self::Alone {
            _guard: TURNS.write().unwrap_or_else(PoisonError::into_inner),
        })
    }
}

// === impl Call ===

impl Call {
    fn of_line(line: &str) -> Option<Self> {
        let (at, said) = line.split_once(' ')?;
        let said: Value = serde_json::from_str(said).ok()?;
        let answered = said["pod"].as_str().map(str::to_owned);
        Some(Self {
            at: humantime::parse_rfc3339(at).ok()?,
            outcome: answered.ok_or_else(|| said["error"].to_string()),
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

fn enrolled() -> Value {
    json!({"weft.dev/mesh": "enabled"})
}

/// The simulated cluster, unless the tests run on somebody else's.
pub(crate) fn simulated() -> Option<Cluster> {
    if kubeconfig().is_some() {
        return None;
    }
    let name = env::var("WEFT_CLUSTER").unwrap_or_else(|_| "dev".to_owned());
    let cluster = Cluster::named(&name).unwrap();
    assert!(cluster.runs().unwrap(), "no cluster {name}: `cargo xtask cluster up`");
    Some(cluster)
}

/// A node of the simulated cluster.
pub(crate) fn node_of(cluster: &Cluster, name: &str) -> Node {
    let nodes = cluster.nodes().unwrap();
    nodes.into_iter().find(|node| node.name == name).unwrap()
}

/// The command line of the cluster under test.
pub(crate) fn kubectl() -> Kubectl {
    match (simulated(), kubeconfig()) {
        (Some(cluster), _) => cluster.kubectl().unwrap(),
        (None, Some(kubeconfig)) => {
            let program = Programs::cached().unwrap().path(Program::Kubectl).unwrap();
            Kubectl::new(program, kubeconfig.as_ref())
        }
        (None, None) => unreachable!("without KUBECONFIG it is the simulated one"),
    }
}

/// Whose cluster it is, if it is not the simulated one.
fn kubeconfig() -> Option<OsString> {
    env::var_os("KUBECONFIG").filter(|file| !file.is_empty())
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

/// So many calls in a row are no accident.
const STEADY: usize = 10;

/// Who has the cluster: all tests that leave it to others too, or one that does not.
static TURNS: RwLock<()> = RwLock::new(());

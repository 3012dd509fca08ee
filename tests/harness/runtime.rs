//! The container runtime of a node, as far as it calls CNI plugins: the first list of its folder, the way libcni does it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{Addresses, Launch, Netns, Node, Object, Outcome, Pod, wait};

/// The runtime's folders; of its plugins only those that come after the network is made are called.
#[derive(Clone, Debug)]
pub struct Runtime {
    folder: PathBuf,
    node: Arc<Netns>,
}

/// A pod's sandbox, as the runtime made it: its network stands, and nothing runs in it.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// What the runtime calls it.
    pub container: String,
    netns: PathBuf,
    namespace: String,
    name: String,
    uid: String,
    addresses: Addresses,
}

/// What a plugin did.
#[derive(Debug)]
pub struct Called {
    /// What it printed: the result, the error, or nothing.
    pub printed: Value,
    /// Its exit code.
    pub code: Option<i32>,
    /// How long it took.
    pub took: Duration,
}

// === impl Runtime ===

impl Runtime {
    /// Makes the folders of a node's runtime, with a network that the harness makes itself.
    pub fn new(node: &Node) -> Self {
        let folder = node.lab().folder().join(format!("cni{}", node.number()));
        for name in ["bin", "conf"] {
            fs::create_dir_all(folder.join(name)).expect("a folder can be made in the lab's");
        }
        let runtime = Self {
            folder,
            node: Arc::clone(node.netns()),
        };
        runtime.configure("10-net.conflist", &json!({ "type": "harness", "note": "kept" }));
        runtime
    }

    /// The agent's arguments for this runtime.
    pub fn arguments(&self) -> Vec<String> {
        let flags = [
            ("--cni-bin-dir", "bin"),
            ("--cni-conf-dir", "conf"),
            ("--cni-run-dir", "run"),
        ];
        let pairs = flags.into_iter().flat_map(|(flag, name)| {
            let path = self.folder.join(name);
            [flag.to_owned(), path.display().to_string()]
        });
        pairs.collect()
    }

    /// Writes a list of one plugin, as whoever installs a network does.
    pub fn configure(&self, name: &str, plugin: &Value) {
        let list = json!({ "cniVersion": "1.0.0", "name": "net", "plugins": [plugin] });
        fs::write(self.conf_dir().join(name), list.to_string()).expect("a list can be written");
    }

    /// The plugin's binary.
    pub fn binary(&self) -> PathBuf {
        self.folder.join("bin/weft-cni")
    }

    /// The folder of the lists.
    pub fn conf_dir(&self) -> PathBuf {
        self.folder.join("conf")
    }

    /// The folder that plugin and agent share.
    pub fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The plugins of the first list.
    pub fn plugins(&self) -> Vec<Value> {
        self.list()["plugins"].as_array().cloned().unwrap_or_default()
    }

    /// Whether ours is the last of them, and its binary is there.
    pub fn is_chained(&self) -> bool {
        self.plugins().last().is_some_and(|last| last["type"] == "weft-cni") && self.binary().exists()
    }

    /// Waits until it is.
    pub fn wait_chained(&self) {
        wait::until(wait::PATIENCE, "the plugin chained", || self.is_chained());
    }

    /// Calls all plugins that come after the network is made, as for a new sandbox.
    pub fn add(&self, sandbox: &Sandbox) -> Called {
        self.call("ADD", sandbox)
    }

    /// The same as for a sandbox that ends.
    pub fn del(&self, sandbox: &Sandbox) -> Called {
        self.call("DEL", sandbox)
    }

    /// The same as for a sandbox that is looked after.
    pub fn check(&self, sandbox: &Sandbox) -> Called {
        self.call("CHECK", sandbox)
    }

    fn call(&self, command: &str, sandbox: &Sandbox) -> Called {
        let list = self.list();
        let begun = Instant::now();
        let mut called = Called {
            printed: sandbox.result(),
            code: Some(0),
            took: Duration::ZERO,
        };
        for plugin in self.plugins().iter().skip(1) {
            let mut config = plugin.clone();
            for key in ["cniVersion", "name"] {
                config[key] = list[key].clone();
            }
            config["prevResult"] = sandbox.result();
            let name = plugin["type"].as_str().expect("a plugin has a type");
            let outcome = self.execute(&self.folder.join("bin").join(name), command, sandbox, &config);
            called = Called {
                printed: serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null),
                code: outcome.code,
                took: begun.elapsed(),
            };
            if called.code != Some(0) {
                break;
            }
        }
        called
    }

    fn execute(&self, plugin: &Path, command: &str, sandbox: &Sandbox, config: &Value) -> Outcome {
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
            sandbox.namespace, sandbox.name, sandbox.container, sandbox.uid
        );
        let run = || {
            let mut child = Command::new(plugin)
                .env_clear()
                .env("CNI_COMMAND", command)
                .env("CNI_CONTAINERID", &sandbox.container)
                .env("CNI_NETNS", &sandbox.netns)
                .env("CNI_IFNAME", "eth0")
                .env("CNI_PATH", self.folder.join("bin"))
                .env("CNI_ARGS", arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let mut stdin = child.stdin.take().expect("stdin is piped");
            stdin.write_all(config.to_string().as_bytes())?;
            drop(stdin);
            child.wait_with_output()
        };
        let output = self.node.run(run);
        output
            .unwrap_or_else(|error| panic!("{}: {error}", plugin.display()))
            .into()
    }

    fn list(&self) -> Value {
        let entries = fs::read_dir(self.conf_dir()).expect("the folder is there");
        let mut names: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the folder can be read").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "conflist"))
            .collect();
        names.sort();
        let text = names.first().and_then(|first| fs::read_to_string(first).ok());
        serde_json::from_str(&text.unwrap_or_default()).unwrap_or(Value::Null)
    }
}

// === impl Launch ===

impl Launch {
    /// Has the agent hold the pods of this runtime.
    pub fn cni(self, runtime: &Runtime) -> Self {
        let arguments = runtime.arguments();
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        arguments.extend(["--cni", "on"]);
        self.arguments(&arguments)
    }
}

// === impl Sandbox ===

impl Sandbox {
    /// A sandbox for a pod in the namespace that the harness made for it.
    pub fn of(pod: &Pod, container: &str) -> Self {
        Self::named(pod.object(), pod.netns(), pod.addresses(), container)
    }

    /// A sandbox for the pod of an object in any namespace.
    pub fn named(object: &Object, netns: &Netns, addresses: Addresses, container: &str) -> Self {
        let metadata = |key: &str| {
            let value = object.value()["metadata"][key].as_str();
            value.expect("a pod has a namespace, a name and a UID").to_owned()
        };
        Self {
            container: container.to_owned(),
            netns: netns.path(),
            namespace: metadata("namespace"),
            name: metadata("name"),
            uid: metadata("uid"),
            addresses,
        }
    }

    /// What the plugins before the last have made.
    pub fn result(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": "eth0", "sandbox": self.netns }],
            "ips": [
                { "address": format!("{}/16", self.addresses.v4), "interface": 0 },
                { "address": format!("{}/64", self.addresses.v6), "interface": 0 },
            ],
            "routes": [{ "dst": "0.0.0.0/0" }],
            "dns": {},
        })
    }
}

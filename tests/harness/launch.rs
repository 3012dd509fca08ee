//! How an agent is started, and what its command says whether or not it runs.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use serde_json::Value;

use crate::{Agent, Netns, Node, Outcome, cgroup};

/// How an agent is started, again and again.
#[derive(Clone, Debug)]
pub struct Launch {
    pub(crate) netns: Arc<Netns>,
    pub(crate) node: String,
    folder: PathBuf,
    cgroup: Option<PathBuf>,
    hosts: Option<PathBuf>,
    source: Source,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// Where an agent has its mesh from.
#[derive(Clone, Debug)]
enum Source {
    Manifests(PathBuf),
    Kubeconfig(PathBuf),
}

// === impl Launch ===

impl Launch {
    pub(crate) fn new(node: &Node) -> Self {
        let folder = node.lab().folder().join(node.number().to_string());
        fs::create_dir_all(&folder).expect("a folder can be made in the lab's");
        Self {
            netns: Arc::clone(node.netns()),
            node: node.name().to_owned(),
            folder,
            cgroup: None,
            hosts: None,
            source: Source::Manifests(node.lab().manifests.folder().to_owned()),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Attaches the programs to this cgroup instead of the root, and runs in it.
    pub fn cgroup(mut self, path: &Path) -> Self {
        self.cgroup = Some(path.to_owned());
        self
    }

    /// Lets the agent alone find a host of this name at these addresses.
    pub fn host(mut self, name: &str, addresses: &[IpAddr]) -> Self {
        let lines: String = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
        let hosts = self.folder.join("hosts");
        fs::write(&hosts, lines).expect("the lab's folder can be written");
        self.hosts = Some(hosts);
        self
    }

    /// Reads another folder than the lab's.
    pub fn manifests(mut self, folder: &Path) -> Self {
        self.source = Source::Manifests(folder.to_owned());
        self
    }

    /// Reads no folder but the API server of this kubeconfig.
    pub fn kubeconfig(mut self, file: &Path) -> Self {
        self.source = Source::Kubeconfig(file.to_owned());
        self
    }

    /// Starts the agent and waits until it is ready.
    pub fn start(self) -> Agent {
        let mut agent = self.spawn();
        agent.wait_ready();
        agent
    }

    /// Starts the agent.
    pub fn spawn(self) -> Agent {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log can be written");
        let mut command = match &self.cgroup {
            None => Command::new(weft()),
            // A process joins a cgroup by itself, before the program begins.
            Some(cgroup) => {
                let mut shell = Command::new("/bin/sh");
                shell
                    .args(["-ec", "echo $$ > \"$0/cgroup.procs\"; exec \"$@\""])
                    .arg(cgroup)
                    .arg(weft());
                shell
            }
        };
        command
            .arg("agent")
            .args(self.source.arguments())
            .args(["--node", &self.node])
            .arg("--cgroup")
            .arg(self.cgroup.clone().unwrap_or_else(cgroup::root))
            .args(["--admin", &admin().to_string()])
            .arg("--socket")
            .arg(self.socket())
            .arg("--state")
            .arg(self.state())
            .args(&self.arguments)
            .env("WEFT_ACCESS_LOG", "json")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = self
            .netns
            .run(|| {
                if let Some(hosts) = &self.hosts {
                    see_hosts(hosts);
                }
                command.spawn()
            })
            .unwrap_or_else(|error| panic!("{}: {error}", weft().display()));
        let stdout = child.stdout.take().expect("stdout is piped");
        Agent::new(self, child, stdout)
    }

    /// `weft` with these arguments, for this node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(weft());
        command
            .args(arguments)
            .env("WEFT_SOCKET", self.socket())
            .env("WEFT_NODE", &self.node);
        command
    }

    /// Runs `weft` with these arguments in the node's namespace, whether or not the agent runs.
    pub fn weft(&self, arguments: &[&str]) -> Outcome {
        let output = self.netns.run(|| self.command(arguments).output());
        output
            .unwrap_or_else(|error| panic!("{}: {error}", weft().display()))
            .into()
    }

    /// Runs `weft debug -j` with these arguments and parses what it prints; panics when it fails.
    pub fn debug(&self, arguments: &[&str]) -> Value {
        let outcome = self.weft(&[&["debug", "-j"], arguments].concat());
        assert_eq!(outcome.code, Some(0), "weft debug -j {arguments:?}: {}", outcome.stderr);
        serde_json::from_str(&outcome.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", outcome.stdout))
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The folder in which the agent keeps the last known mesh.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// What all agents started by this wrote to stderr.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

// === impl Source ===

impl Source {
    fn arguments(&self) -> [&OsStr; 2] {
        match self {
            Self::Manifests(folder) => ["--manifests".as_ref(), folder.as_ref()],
            Self::Kubeconfig(file) => ["--kubeconfig".as_ref(), file.as_ref()],
        }
    }
}

/// Puts a file in the place of /etc/hosts, for the calling thread and what it starts.
fn see_hosts(hosts: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace can be made");
    let nothing = None::<&Path>;
    mount(nothing, "/", nothing, MsFlags::MS_SLAVE | MsFlags::MS_REC, nothing).expect("its mounts can be its own");
    mount(Some(hosts), "/etc/hosts", nothing, MsFlags::MS_BIND, nothing).expect("a file can be mounted");
}

/// The `weft` under test: `WEFT_BIN`, else the one that lies beside this program.
pub fn weft() -> PathBuf {
    if let Some(path) = env::var_os("WEFT_BIN") {
        return path.into();
    }
    let own = env::current_exe().expect("a process has a binary");
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("weft"))
        .find(|path| path.is_file());
    beside.expect("no weft binary beside this one: `cargo build -p agent`, or name one by WEFT_BIN")
}

/// The admin port; each node has a loopback of its own.
pub(crate) fn admin() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 15_020).into()
}

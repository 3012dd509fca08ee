//! A cluster of two nodes: how it comes up, what it is asked, and how it goes without a trace.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    ControlPlane, Daemon, Kubectl, Machine, Module, Node, Place, Program, Programs, Scope, Subnet, addons, cache,
    cgroup, network, node,
};

/// A cluster, up or not: all that belongs to it is found by its name.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: String,
    folder: PathBuf,
    programs: Programs,
    subnet: Subnet,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster with this name.
    pub fn named(name: &str) -> Result<Self> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
            bail!("a cluster's name is made of 1 to {LONGEST_NAME} small letters and digits, not {name:?}");
        }
        Ok(Self {
            name: name.to_owned(),
            folder: cache()?.join("clusters").join(name),
            programs: Programs::cached()?,
            subnet: Subnet::of(name),
        })
    }

    /// Whether it has been brought up and not down again.
    pub fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// Whether all its machines run.
    pub fn runs(&self) -> Result<bool> {
        let runs = |machine: &Machine| machine.first_process().is_some();
        Ok(runs(&self.control()?) && self.nodes()?.iter().all(|node| runs(&node.machine)))
    }

    /// Makes the network, and starts the control plane until the API is ready. `first` is the program `cluster-machine`.
    pub fn start_control_plane(&self, first: &Path) -> Result<()> {
        let control = self.control_folder();
        fs::create_dir_all(&control).with_context(|| format!("cannot make {}", control.display()))?;
        // Kept, since a node may be started again when the checkout has built another.
        fs::copy(first, self.first()).with_context(|| format!("cannot copy {}", first.display()))?;
        network::create(&self.prefix(), self.subnet, NODES)?;
        let plane = ControlPlane::create(self.programs.clone(), &control, self.place())?;
        for node in self.nodes()? {
            node.configure(&plane)?;
        }
        let daemons = vec![
            plane.etcd()?,
            plane.api_server(Scope::Cluster)?,
            plane.controller_manager()?,
            plane.scheduler()?,
        ];
        self.control_of(daemons)?.start(&self.first())?;
        let kubectl = self.kubectl()?;
        wait(API_READY, "the API server is ready", || {
            kubectl.run(&["get", "--raw", "/readyz"]).map(drop)
        })?;
        for node in self.nodes()? {
            kubectl.apply(&node.object().to_string())?;
        }
        Ok(())
    }

    /// Starts the nodes until they take containers.
    pub fn start_nodes(&self) -> Result<()> {
        for node in self.nodes()? {
            node.machine.start(&self.first())?;
        }
        for node in self.nodes()? {
            wait(
                CONTAINERD_READY,
                &format!("containerd of {} is ready", node.name),
                || self.ctr(&node, &["version"]).map(drop),
            )?;
        }
        Ok(())
    }

    /// Gives every node an image, out of an archive.
    pub fn load(&self, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("an archive's path must be text")?;
        for node in self.nodes()? {
            let import = ["images", "import", "--local", "--snapshotter", "native", archive];
            self.ctr(&node, &[&["--namespace", "k8s.io"][..], &import[..]].concat())?;
        }
        Ok(())
    }

    /// Installs DNS, and waits until all is ready.
    pub fn finish(&self) -> Result<()> {
        let kubectl = self.kubectl()?;
        kubectl.apply(&addons::dns().to_string())?;
        let patience = format!("--timeout={}s", ALL_READY.as_secs());
        kubectl.run(&["wait", "--for=condition=Ready", "nodes", "--all", &patience])?;
        let rollout = ["rollout", "status", "deployment/coredns"];
        kubectl.run(&[&rollout[..], &["--namespace", addons::NAMESPACE, &patience]].concat())?;
        // Pods cannot be made in a namespace before its account is.
        wait(ALL_READY, "the default service account", || {
            kubectl.run(&["get", "serviceaccount", "default"]).map(drop)
        })
    }

    /// Ends every process of the cluster and removes all that it made.
    pub fn down(&self) -> Result<()> {
        let machines: Vec<_> = [self.control()?]
            .into_iter()
            .chain(self.nodes()?.into_iter().map(|node| node.machine))
            .collect();
        for machine in &machines {
            machine.kill()?;
        }
        network::remove(&self.prefix(), NODES)?;
        for machine in &machines {
            wait(GONE, &format!("the cgroups of {} go", machine.name), || {
                cgroup::remove(&machine.name)
            })?;
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.folder.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Its command line, as somebody who may do all.
    pub fn kubectl(&self) -> Result<Kubectl> {
        Ok(Kubectl::new(self.programs.path(Program::Kubectl)?, &self.kubeconfig()))
    }

    /// The kubeconfig of somebody who may do all; the host reaches the API as the nodes do.
    pub fn kubeconfig(&self) -> PathBuf {
        self.control_folder().join("admin.kubeconfig")
    }

    /// The machine of the control plane, as it was started last.
    pub fn control(&self) -> Result<Machine> {
        self.control_of(Vec::new())
    }

    /// Its nodes.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        (1..=NODES).map(|number| self.node(number)).collect()
    }

    /// Starts a machine again that was killed, with what ran in it.
    pub fn restart(&self, machine: &Machine) -> Result<()> {
        machine.planned()?.start(&self.first())
    }

    fn control_of(&self, daemons: Vec<Daemon>) -> Result<Machine> {
        Ok(Machine {
            name: format!("{}-control", self.prefix()),
            folder: self.control_folder(),
            shares: self.shares(&[Module::Etcd, Module::Kubernetes])?,
            disks: Vec::new(),
            daemons,
        })
    }

    fn node(&self, number: u8) -> Result<Node> {
        let name = format!("node-{number}");
        let site = self.subnet.node(number);
        let folder = self.folder.join(&name);
        let machine = Machine {
            name: format!("{}-{name}", self.prefix()),
            shares: self.shares(&[Module::Kubernetes, Module::Containerd])?,
            disks: node::DISKS.map(PathBuf::from).into(),
            daemons: Node::daemons(&name, &site, &folder, &self.programs)?,
            folder,
        };
        Ok(Node { name, site, machine })
    }

    fn ctr(&self, node: &Node, arguments: &[&str]) -> Result<String> {
        let socket = node.machine.inside(node::CONTAINERD_SOCKET)?;
        let mut ctr = Command::new(self.programs.path(Program::Ctr)?);
        let output = ctr
            .arg("--address")
            .arg(socket)
            .args(arguments)
            .output()
            .context("cannot start ctr")?;
        if !output.status.success() {
            bail!(
                "ctr {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn shares(&self, modules: &[Module]) -> Result<Vec<PathBuf>> {
        modules.iter().map(|module| self.programs.folder(*module)).collect()
    }

    fn place(&self) -> Place {
        Place {
            address: self.subnet.control_plane()[0],
            api: 6443,
            etcd: 2379,
            etcd_peers: 2380,
        }
    }

    /// The beginning of the names of all that the host sees of it.
    fn prefix(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    fn control_folder(&self) -> PathBuf {
        self.folder.join("control")
    }

    fn first(&self) -> PathBuf {
        self.folder.join("cluster-machine")
    }
}

/// Tries until it succeeds; the last failure is told when the time is over.
fn wait(patience: Duration, what: &str, mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > patience => {
                return Err(error).with_context(|| format!("not within {patience:?}: {what}"));
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Why two: what crosses nodes and what does not are different paths.
const NODES: u8 = 2;

/// Names of interfaces have room for 15 characters.
const LONGEST_NAME: usize = 10;
const PREFIX: &str = "wk8s-";

const API_READY: Duration = Duration::from_secs(90);
const CONTAINERD_READY: Duration = Duration::from_secs(30);
const ALL_READY: Duration = Duration::from_secs(180);
const GONE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);

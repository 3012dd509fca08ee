//! Finds namespaces and cgroups by looking at processes: no container runtime is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
};

use super::{ListedSocket, Listing, NetError, NetNs, own_addresses, process::Process};

/// The processes of this node's pods at one moment: one scan of /proc serves many pods.
#[derive(Clone, Debug, Default)]
pub struct PodProcesses {
    /// By UID, the oldest first.
    by_pod: BTreeMap<String, Vec<Candidate>>,
}

/// Who listens at a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOwner {
    /// The process.
    pub pid: u32,
    /// Its cgroup, below the cgroup2 mount.
    pub cgroup: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    started: u64,
    process: Process,
}

// === impl PodProcesses ===

impl PodProcesses {
    /// Scans /proc. Processes in the namespace of this one or of the node's first one are host-network pods' and left out.
    pub fn scan() -> Result<Self, NetError> {
        let host: BTreeSet<u64> = [NetNs::of_process(1), NetNs::current()]
            .into_iter()
            .filter_map(|netns| netns.ok().map(|netns| netns.inode()))
            .collect();
        let mut by_pod: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for process in Process::all()? {
            let Some((uid, candidate)) = candidate(process, &host) else {
                continue;
            };
            by_pod.entry(uid).or_default().push(candidate);
        }
        by_pod.values_mut().for_each(|candidates| candidates.sort());
        Ok(Self { by_pod })
    }

    /// The namespace of a pod: its oldest process' that has one of the pod's addresses.
    ///
    /// Both matter: a pod may make namespaces with any address, but only after its sandbox; and a process of the kubelet's
    /// may sit in the pod's cgroup for a moment.
    pub fn namespace(&self, pod_uid: &str, ips: &[IpAddr]) -> Option<NetNs> {
        let candidates = self.by_pod.get(pod_uid)?;
        let mut seen = BTreeSet::new();
        candidates
            .iter()
            .filter_map(|candidate| NetNs::of_process(candidate.process.pid).ok())
            .filter(|netns| seen.insert(netns.inode()))
            .find(|netns| {
                own_addresses(netns).is_ok_and(|addresses| addresses.iter().any(|address| ips.contains(&address.ip)))
            })
    }

    /// Whether a pod's containers have begun: something of it runs beside what only holds its sandbox open.
    pub fn has_begun(&self, pod_uid: &str) -> bool {
        let candidates = self.by_pod.get(pod_uid).map(Vec::as_slice).unwrap_or_default();
        let commands = candidates.iter().filter_map(|candidate| candidate.process.command());
        commands.into_iter().any(|command| !is_of_sandbox(&command))
    }
}

// === impl PortOwner ===

impl PortOwner {
    /// Finds who listens at a TCP port in a namespace, as the kubelet at 10250.
    pub fn find(netns: &NetNs, port: u16) -> Result<Option<Self>, NetError> {
        let mut inodes: Vec<u32> = ListedSocket::list(netns, Listing::Listeners)?
            .into_iter()
            .filter(|listener| listener.local.port() == port)
            .map(|listener| listener.inode)
            .collect();
        inodes.sort_unstable();
        if inodes.is_empty() {
            return Ok(None);
        }
        Ok(Process::all()?
            .into_iter()
            .filter(|process| process.holds_socket(&inodes))
            .find_map(|process| {
                Some(Self {
                    pid: process.pid,
                    cgroup: process.cgroup()?,
                })
            }))
    }
}

/// Whether a process is the sandbox's own, or one of the runtime's that is about to become a container's.
fn is_of_sandbox(command: &str) -> bool {
    SANDBOXES.contains(&command) || RUNTIMES.iter().any(|runtime| command.starts_with(runtime))
}

/// None for what belongs to no pod, and for what has just ended.
fn candidate(process: Process, host: &BTreeSet<u64>) -> Option<(String, Candidate)> {
    let uid = process.pod_uid()?;
    let netns = process.netns_inode()?;
    let started = process.started()?;
    (!host.contains(&netns)).then_some((uid, Candidate { started, process }))
}

/// What all runtimes start first in a pod (OpenShift calls its own `pod`); CRI-O does without where it can.
const SANDBOXES: [&str; 2] = ["pause", "pod"];
/// `runc:[2:INIT]`, as runc calls itself in a container's namespaces.
const RUNTIMES: [&str; 2] = ["runc:", "crun"];

//! What the room needs to know at its start.

use std::path::PathBuf;

/// Where and how the agent hooks into the kernel.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name, which names its pins: agents of several nodes may share a kernel.
    pub node: String,
    /// Where the BPF file system is mounted.
    pub bpffs: PathBuf,
    /// The cgroup2 folder above all pods and the agent; the root of the cgroup2 mount when none.
    pub cgroup: Option<PathBuf>,
    /// The kubelet's cgroup2 folder; that of whoever listens at its port when none.
    pub kubelet_cgroup: Option<PathBuf>,
    /// Whether the kernel programs log.
    pub program_log: ProgramLog,
    /// Whether the agent answers the pods' DNS queries.
    pub dns: Dns,
}

/// Whether the kernel programs log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramLog {
    /// They do not, and the verifier removes the code for it.
    #[default]
    Off,
    /// They do, at debug level.
    Debug,
}

/// Whether the agent answers the pods' DNS queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dns {
    /// Queries to port 53 of foreign addresses come to the agent.
    Captured,
    /// Queries go where the pod sends them.
    #[default]
    Untouched,
}

//! The flags of what runs in a Kubernetes cluster beside the agents.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    LogConfig,
    kubeconfig::{file_or_empty, named},
};

/// Which cluster is meant.
#[derive(Args, Clone, Debug)]
pub struct ClusterConfig {
    /// How to reach the API server [default: as the service account of this pod]
    #[arg(long, global = true, value_name = "FILE", env = "KUBECONFIG", value_parser = file_or_empty())]
    pub kubeconfig: Option<PathBuf>,

    /// The namespace of the mesh's own objects
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "weft-system",
        env = "WEFT_SYSTEM_NAMESPACE"
    )]
    pub system_namespace: String,
}

// === impl ClusterConfig ===

impl ClusterConfig {
    /// The file that says which cluster is meant; none for that of the pod in which this runs.
    pub fn file(&self) -> Option<PathBuf> {
        named(self.kubeconfig.as_ref())
    }
}

/// Do what only one may do in a cluster
///
/// Of several controllers one leads, by a Lease. It takes the taint weft.dev/agent-not-ready off nodes whose agent is ready,
/// lets a new root of the CA sign when all agents believe it, and writes into policies whether they are accepted. It reads
/// no Secret, and agents need none of it: without a controller nothing but these three things stands still.
#[derive(Args, Clone, Debug)]
#[command(after_help = CONTROLLER_EXAMPLES)]
pub struct ControllerConfig {
    /// Which cluster is meant.
    #[command(flatten)]
    pub cluster: ClusterConfig,

    /// By which name this one stands for election [default: the host's name, which is the pod's]
    #[arg(long, value_name = "NAME", env = "WEFT_CONTROLLER_NAME")]
    pub name: Option<String>,

    /// Serve /metrics, /readyz and /livez here
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15022", env = "WEFT_ADMIN")]
    pub admin: SocketAddr,

    /// What the controller tells.
    #[command(flatten)]
    pub log: LogConfig,
}

const CONTROLLER_EXAMPLES: &str = "\
Examples:
  weft controller
  weft controller --kubeconfig ~/.kube/config --name here";

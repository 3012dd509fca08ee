//! The flags of the CNI plugin: whether the agent installs it, and where.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Switch;

/// How pods are held until they are captured.
#[derive(Args, Clone, Debug)]
pub struct CniConfig {
    /// Install a chained CNI plugin that holds each enrolled pod's start until the pod is captured, and answer to it
    #[arg(long, value_name = "SWITCH", default_value = "off", env = "WEFT_CNI")]
    pub cni: Switch,

    /// Where the plugin goes.
    #[command(flatten)]
    pub paths: CniPaths,
}

/// Where the plugin lies, is named, and finds the agent.
#[derive(Args, Clone, Debug)]
pub struct CniPaths {
    /// The folder of the container runtime's CNI plugins
    #[arg(long, value_name = "DIR", default_value = "/opt/cni/bin", env = "WEFT_CNI_BIN_DIR")]
    pub cni_bin_dir: PathBuf,

    /// The folder of the container runtime's CNI configurations
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/cni/net.d",
        env = "WEFT_CNI_CONF_DIR"
    )]
    pub cni_conf_dir: PathBuf,

    /// The folder that plugin and agent share, by the same path on the node and for the agent
    #[arg(long, value_name = "DIR", default_value = "/run/weft/cni", env = "WEFT_CNI_RUN_DIR")]
    pub cni_run_dir: PathBuf,
}

/// Be the CNI plugin, or take it away
///
/// A container runtime calls the plugin by its own name, `weft-cni`, and tells by its environment (CNI_COMMAND and others)
/// what it wants; so does `weft cni` without a command.
#[derive(Args, Clone, Debug)]
#[command(after_help = CNI_EXAMPLES)]
pub struct CniArgs {
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<CniCommand>,
}

/// What an operator does with the plugin.
#[derive(Clone, Debug, Subcommand)]
pub enum CniCommand {
    /// Take the plugin out of the runtime's configuration, then its binary away
    ///
    /// An agent that lives does not put it back before its next start.
    Uninstall(CniPaths),
}

const CNI_EXAMPLES: &str = "\
Examples:
  weft cni uninstall
  weft cni uninstall --cni-conf-dir /var/lib/rancher/k3s/agent/etc/cni/net.d --cni-bin-dir /var/lib/rancher/k3s/data/cni";

//! Every flag and variable of each command, parsed once and handed by value to the room that owns it. Here is what the
//! commands share.

mod agent;
mod ca;
mod cluster;
mod cni;
mod kubeconfig;

use clap::{Args, ValueEnum};

pub use self::agent::{
    AccessLog, AgentConfig, KernelConfig, MeshSource, PortRange, PortRangeError, ProxyConfig, TelemetryConfig,
    default_socket,
};
pub use ca::{CaClientConfig, CaCommand, CaConfig, IntermediateConfig, Named};
pub use cluster::{ClusterConfig, ControllerConfig};
pub use cni::{CniArgs, CniCommand, CniConfig, CniPaths};
pub use kubeconfig::PersonConfig;

/// The log of a process, on standard error.
#[derive(Args, Clone, Debug)]
pub struct LogConfig {
    /// The log on standard error: a level, or a filter as of tracing's EnvFilter
    #[arg(long, value_name = "FILTER", default_value = "info", env = "WEFT_LOG")]
    pub log: String,

    /// The form of that log
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "WEFT_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// The form of the agent's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Accepts what Kubernetes accepts as a node's name (RFC 1123 subdomain), since it becomes the name of a folder.
fn node_name(value: &str) -> Result<String, NodeNameError> {
    let label = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if value.len() <= 253 && value.split('.').all(label) {
        Ok(value.to_owned())
    } else {
        Err(NodeNameError)
    }
}

/// A node's name that is not one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a node's name is lower-case letters, digits, '-' and '.', at most 253 of them (RFC 1123)")]
struct NodeNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_is_an_rfc_1123_subdomain() {
        for good in ["n", "node-1", "ip-10-0-0-1.eu-west-1.compute.internal"] {
            assert_eq!(node_name(good).expect("valid"), good);
        }
        for bad in ["", "..", "a/b", "Node", "-a", "a-", "a..b", &"a".repeat(254)] {
            assert!(node_name(bad).is_err(), "{bad} must be refused");
        }
    }
}

//! Sysctls of a network namespace.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{NetError, NetNs};

/// A sysctl by its name below /proc/sys, as `net/ipv4/tcp_fwmark_accept`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysctl(pub String);

// === impl Sysctl ===

impl Sysctl {
    /// Names a sysctl.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its value in a namespace, without the line's end.
    ///
    /// /proc/sys/net shows the namespace of the thread that opens it, and none other.
    pub fn read(&self, netns: &NetNs) -> Result<String, NetError> {
        netns
            .run(|| fs::read_to_string(self.path()))?
            .map(|value| value.trim_end().into())
            .map_err(|source| self.failed(source))
    }

    /// Its value as numbers, as many as it holds.
    pub fn numbers<N: FromStr, const COUNT: usize>(&self, netns: &NetNs) -> Result<[N; COUNT], NetError> {
        let value = self.read(netns)?;
        let numbers: Option<Vec<N>> = value.split_whitespace().map(|number| number.parse().ok()).collect();
        numbers
            .and_then(|numbers| numbers.try_into().ok())
            .ok_or_else(|| NetError::SysctlValue {
                name: self.0.clone(),
                value,
            })
    }

    /// Sets it in a namespace.
    pub fn write(&self, netns: &NetNs, value: &str) -> Result<(), NetError> {
        netns
            .run(|| fs::write(self.path(), value))?
            .map_err(|source| self.failed(source))
    }

    fn path(&self) -> PathBuf {
        let host = Path::new(HOST_SYSCTLS);
        let root = if host.is_dir() { host } else { Path::new(SYSCTLS) };
        root.join(&self.0)
    }

    fn failed(&self, source: std::io::Error) -> NetError {
        NetError::Sysctl {
            name: self.0.clone(),
            source,
        }
    }
}

const SYSCTLS: &str = "/proc/sys";

/// Where the DaemonSet mounts the node's: a container's own are read-only. Below net both show the namespace of the thread.
const HOST_SYSCTLS: &str = "/host/proc/sys";

//! What can go wrong in `weft debug`.

use std::{io, path::PathBuf};

use super::super::client::AgentError;
use crate::{cni::InstallError, kernel::inspect::InspectError, net::NetError};

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DebugError {
    #[error("no node has pins below {}: is the agent running, and --bpffs right?", bpffs.join("weft").display())]
    NoNode { bpffs: PathBuf },
    #[error("several nodes have pins: choose one by --node {nodes}")]
    SeveralNodes { nodes: String },
    #[error("no pod is called {name}")]
    NoSuchPod { name: String },
    #[error("an agent answers at {}: stop it first, or use --force", socket.display())]
    AgentLives { socket: PathBuf },
    #[error("{command} looks at what happens now: it cannot read a file")]
    NotOffline { command: &'static str },
    #[error("the file has no {section}: {reason}")]
    Missing { section: &'static str, reason: String },
    #[error("the file is of version {found}, and this weft reads {}", super::snapshot::VERSION)]
    Version { found: u32 },
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("{} is not what dump all writes", path.display())]
    ParseFile { path: PathBuf, source: serde_json::Error },
    #[error("cannot write {}", path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("cannot remove {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("cannot wait for SIGTERM")]
    Stay(#[source] io::Error),
    #[error("cannot print")]
    Print(#[from] io::Error),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Cni(#[from] InstallError),
    #[error(transparent)]
    Kernel(#[from] InspectError),
    #[error(transparent)]
    Net(#[from] NetError),
}

// === impl DebugError ===

impl DebugError {
    /// Whether the reader of standard output has seen enough, as `head` has: that is no failure.
    pub(super) fn reader_left(&self) -> bool {
        let (Self::Print(error) | Self::Agent(AgentError::Print(error))) = self else {
            return false;
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }
}

//! The CA of the mesh: a real `weft ca`, which reads the same manifests as the agents.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::Result;
use harness::{Lab, Node, wait};

use super::{
    program::{Cpu, Program},
    release,
};
use crate::process;

/// A running CA; killed when dropped.
#[derive(Debug)]
pub(super) struct Ca {
    _program: Program,
    address: SocketAddr,
    folder: PathBuf,
}

// === impl Ca ===

impl Ca {
    /// Starts it in a node's namespace and waits until it listens.
    pub(super) fn start(lab: &Lab, node: &Node) -> Result<Self> {
        let folder = lab.folder().join("ca");
        fs::create_dir_all(&folder)?;
        let address = SocketAddr::new(node.addresses().v4.into(), PORT);
        let mut command = Command::new(release("weft"));
        command
            .args(["ca", "--log", "warn", "--listen"])
            .arg(address.to_string())
            .arg("--manifests")
            .arg(lab.manifests().folder())
            .arg("--state")
            .arg(folder.join("state"));
        let ca = Self {
            _program: Program::start(node.netns(), Cpu::Load, command)?,
            address,
            folder,
        };
        wait::until(wait::PATIENCE, "the CA listens", || {
            node.netns().run(|| std::net::TcpStream::connect(address)).is_ok()
        });
        Ok(ca)
    }

    /// What an agent is told: where the CA is, and a token for this node.
    pub(super) fn arguments(&self, node: &Node) -> Result<Vec<String>> {
        let mut command = Command::new(release("weft"));
        command
            .args(["ca", "token", "--node", node.name(), "--state"])
            .arg(self.folder.join("state"));
        let token = self.folder.join(format!("{}.token", node.name()));
        fs::write(&token, process::output(&mut command)?)?;
        let url = format!("https://{}", self.address);
        let token = token.display().to_string();
        Ok(["--ca".to_owned(), url, "--ca-token".to_owned(), token].into())
    }
}

/// Where it listens.
const PORT: u16 = 15_012;

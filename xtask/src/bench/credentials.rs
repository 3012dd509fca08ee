//! The certificates of the peer's sidecars: P-256 as Weft's, of a root of their own, made by `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::process;

/// Files in PEM.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) root: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

// === impl Credentials ===

impl Credentials {
    /// Makes a root and one certificate of it, which both sidecars prove themselves by.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = |name| folder.join(name);
        let made = Self {
            root: file("root.pem"),
            chain: file("chain.pem"),
            key: file("key.pem"),
        };
        let mut root = request(&file("root-key.pem"), &made.root);
        root.args(["-subj", "/CN=root"]);
        process::run(&mut root)?;
        let mut leaf = request(&made.key, &made.chain);
        leaf.args(["-subj", "/CN=sidecar", "-addext"])
            .arg(format!("subjectAltName=URI:{IDENTITY}"))
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-CA"])
            .arg(&made.root)
            .arg("-CAkey")
            .arg(file("root-key.pem"));
        process::run(&mut leaf)?;
        Ok(made)
    }
}

fn request(key: &Path, certificate: &Path) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-noenc", "-days", "1", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate);
    command
}

/// Whom each sidecar expects to meet.
pub(super) const IDENTITY: &str = "spiffe://cluster.local/ns/plain/sa/default";

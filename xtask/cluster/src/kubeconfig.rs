//! What a client needs to know of a cluster, as files which every client of Kubernetes reads.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{Authority, Credentials};

/// A kubeconfig that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfig {
    path: PathBuf,
}

// === impl Kubeconfig ===

impl Kubeconfig {
    /// Writes one for a user; JSON is YAML.
    pub fn write(path: PathBuf, server: &str, authority: &Authority, user: &Credentials) -> Result<Self> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": {
                "server": server,
                "certificate-authority-data": STANDARD.encode(authority.root()),
            }}],
            "users": [{"name": NAME, "user": {
                "client-certificate-data": STANDARD.encode(&user.certificate),
                "client-key-data": STANDARD.encode(&user.key),
            }}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
            "current-context": NAME,
        });
        fs::write(&path, format!("{config:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path })
    }

    /// Its file, as `KUBECONFIG` names it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

const NAME: &str = "weft";

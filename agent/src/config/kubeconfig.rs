//! Which cluster a person means.

use std::{env, path::PathBuf};

use clap::Args;

/// Which cluster is asked, and where the mesh lives in it.
#[derive(Args, Clone, Debug)]
pub struct PersonConfig {
    /// How to reach the API server [default: ~/.kube/config, or the service account of this pod]
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// The namespace of the mesh's own objects
    #[arg(
        long,
        value_name = "NAME",
        default_value = "weft-system",
        env = "WEFT_SYSTEM_NAMESPACE"
    )]
    pub system_namespace: String,
}

// === impl PersonConfig ===

impl PersonConfig {
    /// The file that says which cluster is meant; none for that of the pod in which this runs.
    pub fn file(&self) -> Option<PathBuf> {
        let at_home = || {
            let file = env::home_dir()?.join(".kube/config");
            file.is_file().then_some(file)
        };
        self.kubeconfig.clone().or_else(at_home)
    }
}

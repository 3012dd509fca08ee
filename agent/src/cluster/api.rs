//! The way to the Kubernetes API server.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// A client of one API server, for every room that reads or writes there.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) client: Client,
}

/// Why no API server can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// The kubeconfig says no usable server, or cannot be read.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// This process runs in no pod.
    #[error("no kubeconfig is given, and this is no pod with a service account")]
    InCluster(#[source] InClusterError),
    /// The client cannot be built of what they say.
    #[error("cannot build a client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// It was asked and did not answer as it should.
    #[error("the API server gave no answer")]
    Request(#[source] Box<kube::Error>),
}

// === impl ApiServer ===

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiServer")
    }
}

impl ApiServer {
    /// The server that a kubeconfig's current context names, else the one of the cluster in which this pod runs. Nothing is
    /// sent yet.
    ///
    /// # Errors
    ///
    /// When the kubeconfig, or the pod's service account, cannot be read or used.
    pub async fn new(kubeconfig: Option<&Path>) -> Result<Self, ApiServerError> {
        let mut config = match kubeconfig {
            Some(path) => of_file(path).await?,
            None => Config::incluster().map_err(ApiServerError::InCluster)?,
        };
        // Its retries take minutes, in which nobody knows that the server refuses.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| ApiServerError::Client(Box::new(error)))?;
        Ok(Self { client })
    }

    /// The version that the server says it has, such as `v1.36.3`.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or refuses.
    pub async fn version(&self) -> Result<String, ApiServerError> {
        let info = self.client.apiserver_version().await;
        let info = info.map_err(|error| ApiServerError::Request(Box::new(error)))?;
        Ok(info.git_version)
    }
}

async fn of_file(path: &Path) -> Result<Config, ApiServerError> {
    let refused = |source| ApiServerError::Kubeconfig {
        path: path.into(),
        source: Box::new(source),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(refused)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_missing_is_named() {
        let Err(error) = ApiServer::new(Some(Path::new("/nonexistent/kubeconfig"))).await else {
            panic!("a client of nothing");
        };
        assert_eq!(error.to_string(), "cannot use the kubeconfig /nonexistent/kubeconfig");
        assert!(error.source().is_some(), "the reason is kept");
    }
}

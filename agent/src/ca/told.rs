//! Where the state lies that an operator's commands change: a folder, or a cluster's Secret.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    CaServerError,
    command::{self, Shown, set_denial, shown, stage},
    rotate::{begin, force},
    secret::StateSecret,
};
use crate::{
    cluster::{ApiServer, RotationBoard},
    tls::Denial,
};

/// The state of a CA, whether or not it runs.
#[derive(Clone, Debug)]
pub struct CaState(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Cluster(Box<ClusterPlace>),
}

#[derive(Clone, Debug)]
struct ClusterPlace {
    secret: StateSecret,
    board: RotationBoard,
}

// === impl CaState ===

impl CaState {
    /// The state in a folder.
    pub fn of_folder(path: &Path) -> Self {
        Self(Place::Folder(path.to_owned()))
    }

    /// The state in a cluster; nothing is sent yet.
    pub fn of_cluster(server: &ApiServer, namespace: &str) -> Self {
        Self(Place::Cluster(Box::new(ClusterPlace {
            secret: StateSecret::new(server, namespace),
            board: RotationBoard::new(server, namespace),
        })))
    }

    /// Makes a token for the agent of a node; its text is shown this once.
    pub fn make_token(&self, node: &str, life: Duration) -> Result<String, CaServerError> {
        match &self.0 {
            Place::Folder(path) => command::make_token(path, node, life),
            Place::Cluster(_) => Err(CaServerError::TokenInCluster),
        }
    }

    /// Begins to replace the root; says how far a rotation is.
    pub async fn rotate(&self) -> Result<String, CaServerError> {
        match &self.0 {
            Place::Folder(path) => command::rotate(path),
            Place::Cluster(place) => Ok(stage(&place.secret.edit(begin).await?.0)),
        }
    }

    /// Lets the new root sign though some agents do not know it; says how far the rotation is.
    pub async fn force_rotation(&self) -> Result<String, CaServerError> {
        match &self.0 {
            Place::Folder(path) => command::force_rotation(path),
            Place::Cluster(place) => Ok(stage(&place.secret.edit(force).await?.0)),
        }
    }

    /// Puts a name on the deny-list, or takes it off.
    pub async fn change_denials(&self, denial: &Denial, denied: bool) -> Result<(), CaServerError> {
        match &self.0 {
            Place::Folder(path) => command::change_denials(path, denial, denied),
            Place::Cluster(place) => {
                let edited = place.secret.edit(|state| set_denial(state, denial, denied));
                edited.await.map(|_edited| ())
            }
        }
    }

    /// Shows what a CA keeps.
    pub async fn show(&self) -> Result<Shown, CaServerError> {
        match &self.0 {
            Place::Folder(path) => command::show(path),
            Place::Cluster(place) => {
                let state = place.secret.read().await?;
                let decision = place.board.read().await?.decision;
                let decision = decision.filter(|decision| decision.bundle == state.bundle);
                shown(state, decision.map(|decision| decision.waits_for).unwrap_or_default())
            }
        }
    }
}

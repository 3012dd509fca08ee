//! What replicas of the CA and the controller tell each other about a rotation: one ConfigMap, in which each key has one
//! kind of writer.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `_stage` | what the new root waits for | the replicas of the CA |
//! | a node's name | the newest bundle that the node's agent has taken | the replica that the agent attends |
//! | `_decision` | whether it is to wait longer, and for whom | the controller's leader |
//!
//! No node's name begins with `_` (RFC 1123). A bundle that was taken stays taken: an agent that starts anew shakes hands
//! only when its CA has told it the newest one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    api::ApiServer,
    shared::{Followed, Following, Shared, SharedError},
};

/// The ConfigMap about rotations.
#[derive(Clone, Debug)]
pub struct RotationBoard(Shared<ConfigMap>);

/// The ConfigMap about rotations, as it is followed.
#[derive(Clone, Debug)]
pub struct FollowedBoard(Following);

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationNotes {
    /// What the new root waits for.
    pub stage: Option<RotationStage>,
    /// The newest bundle that each node's agent has taken, as far as somebody has told.
    pub taken: BTreeMap<Arc<str>, u64>,
    /// What the controller says.
    pub decision: Option<RotationDecision>,
}

/// A stage in which a new root is believed and does not sign yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationStage {
    /// The bundle that has the new root.
    pub bundle: u64,
    /// Since when it is told, in seconds since 1970.
    pub since: u64,
    /// How many seconds it lasts, at least.
    pub step: u64,
    /// How many seconds longer it waits for agents that do not take the bundle.
    pub patience: u64,
}

/// Whether that stage is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationDecision {
    /// The bundle of the stage.
    pub bundle: u64,
    /// Whether the new root may sign.
    pub advance: bool,
    /// The nodes whose agents have not taken the bundle.
    pub waits_for: BTreeSet<Arc<str>>,
}

// === impl RotationBoard ===

impl RotationBoard {
    /// The one of this namespace.
    pub fn new(server: &ApiServer, namespace: &str) -> Self {
        Self(Shared::new(server, namespace, NAME))
    }

    /// Reads it once.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn read(&self) -> Result<RotationNotes, SharedError> {
        let found = self.0.read().await?;
        Ok(found.map_or_else(RotationNotes::default, |found| RotationNotes::of(&found.texts())))
    }

    /// Follows it from here on.
    pub fn follow(&self) -> FollowedBoard {
        FollowedBoard(self.0.follow())
    }

    /// Tells a stage that begins; what was told of others is taken away.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn begin(&self, stage: RotationStage, before: &RotationNotes) -> Result<(), SharedError> {
        let over = before.taken.iter().filter(|(_, taken)| **taken < stage.bundle);
        let over = over.map(|(node, _)| (node.to_string(), None));
        let told = [(STAGE.to_owned(), Some(written(&stage))), (DECISION.to_owned(), None)];
        self.0.set(&over.chain(told).collect()).await
    }

    /// Takes the stage away, and what was told of it.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn end(&self, before: &RotationNotes) -> Result<(), SharedError> {
        let nodes = before.taken.keys().map(ToString::to_string);
        let keys = nodes.chain([STAGE, DECISION].map(str::to_owned));
        self.0.set(&keys.map(|key| (key, None)).collect()).await
    }

    /// Tells which bundles agents have taken.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn tell_taken(&self, taken: &BTreeMap<Arc<str>, u64>) -> Result<(), SharedError> {
        let taken = taken.iter();
        let taken = taken.map(|(node, bundle)| (node.to_string(), Some(bundle.to_string())));
        self.0.set(&taken.collect()).await
    }

    /// Tells whether a stage is over.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn decide(&self, decision: &RotationDecision) -> Result<(), SharedError> {
        self.0
            .set(&[(DECISION.to_owned(), Some(written(decision)))].into())
            .await
    }
}

// === impl FollowedBoard ===

impl FollowedBoard {
    /// What it says at this moment; none while nobody can say.
    pub fn now(&mut self) -> Option<RotationNotes> {
        match self.0.now() {
            Followed { lost: Some(_), .. } => None,
            Followed { texts, lost: None } => {
                Some(texts.map_or_else(RotationNotes::default, |texts| RotationNotes::of(&texts)))
            }
        }
    }

    /// Waits until it says something else.
    pub async fn changed(&mut self) {
        self.0.changed().await;
    }
}

// === impl RotationNotes ===

impl RotationNotes {
    /// What makes no sense is as if it were not there: its writer writes it again.
    fn of(texts: &BTreeMap<String, String>) -> Self {
        let taken = texts.iter().filter(|(key, _)| !key.starts_with('_'));
        Self {
            stage: parsed(texts, STAGE),
            taken: taken
                .filter_map(|(node, bundle)| Some((node.as_str().into(), bundle.parse().ok()?)))
                .collect(),
            decision: parsed(texts, DECISION),
        }
    }
}

fn parsed<T: DeserializeOwned>(texts: &BTreeMap<String, String>, key: &str) -> Option<T> {
    serde_json::from_str(texts.get(key)?).ok()
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and names can be written")
}

const NAME: &str = "weft-ca-rotation";
const STAGE: &str = "_stage";
const DECISION: &str = "_decision";

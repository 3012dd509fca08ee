//! The state in a cluster: one Secret that all replicas and every operator change, each only what it has read.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    CaServerError,
    state::{State, VERSION},
};
use crate::{
    cluster::{ApiServer, FoundSecret, SharedSecret, Written},
    tls::unguessable,
};

/// The Secret of a cluster's CA.
#[derive(Clone, Debug)]
pub(super) struct StateSecret(pub(super) SharedSecret);

// === impl StateSecret ===

impl StateSecret {
    pub(super) fn new(server: &ApiServer, namespace: &str) -> Self {
        Self(SharedSecret::new(server, namespace, NAME))
    }

    /// Reads the state; there must be one.
    pub(super) async fn read(&self) -> Result<State, CaServerError> {
        let found = self.0.read().await?.ok_or(CaServerError::NotInCluster)?;
        parse(&found.texts())
    }

    /// Reads the state, or makes it where there is none; of several who do so at once, one makes it and all have it.
    pub(super) async fn read_or_make(
        &self,
        make: impl Fn() -> Result<State, CaServerError>,
    ) -> Result<State, CaServerError> {
        loop {
            if let Some(found) = self.0.read().await? {
                return parse(&found.texts());
            }
            let state = make()?;
            if self.0.write(None, write(&state)).await? == Written::Done {
                tracing::info!("There was no CA in the cluster: it is made");
                return Ok(state);
            }
        }
    }

    /// Changes the state, which is read anew as often as somebody else is faster. Gives what it is then.
    pub(super) async fn edit<T>(
        &self,
        change: impl Fn(&mut State) -> Result<T, CaServerError>,
    ) -> Result<(State, T), CaServerError> {
        for _ in 0..TRIES {
            let found: FoundSecret = self.0.read().await?.ok_or(CaServerError::NotInCluster)?;
            let before = found.texts();
            let mut state = parse(&before)?;
            let changed = change(&mut state)?;
            let after = write(&state);
            if after == before || self.0.write(Some(found), after).await? == Written::Done {
                return Ok((state, changed));
            }
            let [random, ..] = unguessable();
            sleep(Duration::from_millis(random.into())).await;
        }
        Err(CaServerError::Contended)
    }
}

/// Reads what the Secret holds.
pub(super) fn parse(texts: &BTreeMap<String, String>) -> Result<State, CaServerError> {
    let text = texts.get(KEY).ok_or(CaServerError::Senseless("Secret"))?;
    let state: State = serde_json::from_str(text).map_err(CaServerError::UnreadableSecret)?;
    if state.version == VERSION {
        Ok(state)
    } else {
        Err(CaServerError::Senseless("version"))
    }
}

/// Writes what the Secret is to hold.
pub(super) fn write(state: &State) -> BTreeMap<String, String> {
    let text = serde_json::to_string_pretty(state).expect("texts and numbers can be written");
    [(KEY.to_owned(), text)].into()
}

const NAME: &str = "weft-ca";
const KEY: &str = "state.json";
/// More than there are replicas and operators at once.
const TRIES: u32 = 20;

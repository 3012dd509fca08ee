//! One Secret or ConfigMap that several processes change: read whole, replaced only as it was read, and followed.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
    runtime::watcher,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::api::ApiServer;
use crate::telemetry::with_causes;

/// A kind of object that holds texts by key.
pub trait Texts:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + Sync + 'static
{
    /// What it holds; bytes that are no text are left out.
    fn texts(&self) -> BTreeMap<String, String>;

    /// Holds these instead.
    fn set_texts(&mut self, texts: BTreeMap<String, String>);
}

/// A Secret by its name.
pub type SharedSecret = Shared<Secret>;

/// A ConfigMap by its name.
pub type SharedConfigMap = Shared<ConfigMap>;

/// A Secret as it was read.
pub type FoundSecret = Found<Secret>;

/// One object by its name.
#[derive(Clone, Debug)]
pub struct Shared<K> {
    api: Api<K>,
    namespace: String,
    name: String,
}

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Found<K>(K);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is done.
    Done,
    /// Somebody else has written since the object was read: it is to be read again.
    Overtaken,
}

/// An object as it is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// What it holds; none where there is none.
    pub texts: Option<Arc<BTreeMap<String, String>>>,
    /// Whether, and since when, nobody can say if it still is so.
    pub lost: Option<Instant>,
}

/// Why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} the {kind} {namespace}/{name}")]
pub struct SharedError {
    verb: &'static str,
    kind: String,
    namespace: String,
    name: String,
    #[source]
    source: Box<kube::Error>,
}

// === impl Shared ===

impl<K> Shared<K>
where
    K: Texts + Default + Serialize + DeserializeOwned,
{
    /// The object of this name; nothing is sent yet.
    pub fn new(server: &ApiServer, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(server.client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Reads it, as the last write of anybody has left it.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn read(&self) -> Result<Option<Found<K>>, SharedError> {
        let found = self.api.get_opt(&self.name).await;
        Ok(found.map_err(|error| self.failed("read", error))?.map(Found))
    }

    /// Writes it anew where it was not found, and else replaces what was found, if it is still that.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses for another reason than that somebody was faster.
    pub async fn write(
        &self,
        found: Option<Found<K>>,
        texts: BTreeMap<String, String>,
    ) -> Result<Written, SharedError> {
        let made = found.is_none();
        let mut object = found.map_or_else(K::default, |found| found.0);
        object.set_texts(texts);
        let options = PostParams::default();
        let written = if made {
            let meta = object.meta_mut();
            meta.name = Some(self.name.clone());
            let labels = meta.labels.get_or_insert_default();
            labels.insert("app.kubernetes.io/part-of".to_owned(), "weft".to_owned());
            self.api.create(&options, &object).await
        } else {
            // It carries the version that was read: the API server refuses it where that is not the newest.
            self.api.replace(&self.name, &options, &object).await
        };
        match written {
            Ok(_) => Ok(Written::Done),
            // 404: it was deleted since.
            Err(kube::Error::Api(status))
                if matches!(status.code, CONFLICT | NOT_FOUND) && !is_foreign(&status.message) =>
            {
                Ok(Written::Overtaken)
            }
            Err(error) => Err(self.failed(if made { "create" } else { "replace" }, error)),
        }
    }

    /// Sets some texts, or removes them where there is none, whatever the others are. Makes the object where there is none.
    ///
    /// # Errors
    ///
    /// When the API server does not answer, or refuses.
    pub async fn set(&self, texts: &BTreeMap<String, Option<String>>) -> Result<(), SharedError> {
        let texts: BTreeMap<&String, Value> = texts.iter().map(|(key, text)| (key, json!(text))).collect();
        let patch = json!({ "data": texts });
        loop {
            let patched = self
                .api
                .patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            match patched {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == NOT_FOUND && !is_foreign(&status.message) => {}
                Err(error) => return Err(self.failed("patch", error)),
            }
            // Whoever is faster, it is there then.
            self.write(None, BTreeMap::new()).await?;
        }
    }

    /// Follows it from here on, until nobody listens.
    pub fn follow(&self) -> Following {
        let (sender, followed) = watch::channel(Followed {
            texts: None,
            lost: Some(Instant::now()),
        });
        let task = tokio::spawn(follow(self.clone(), sender));
        Following {
            followed,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    fn failed(&self, verb: &'static str, source: kube::Error) -> SharedError {
        SharedError {
            verb,
            kind: K::kind(&()).into_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            source: Box::new(source),
        }
    }
}

/// A followed object. Dropped, it is followed no longer.
#[derive(Clone, Debug)]
pub struct Following {
    followed: watch::Receiver<Followed>,
    _task: Arc<AbortOnDropHandle<()>>,
}

// === impl Following ===

impl Following {
    /// What is known of it.
    pub fn now(&mut self) -> Followed {
        self.followed.borrow_and_update().clone()
    }

    /// Waits until something else is known.
    pub async fn changed(&mut self) {
        // The task, and with it the sender, lives as long as this.
        let _ = self.followed.changed().await;
    }
}

// === impl SharedError ===

impl SharedError {
    /// Whether the API server has not answered, rather than refused.
    pub fn is_away(&self) -> bool {
        !matches!(&*self.source, kube::Error::Api(status) if status.code < SERVER_ERROR)
    }
}

async fn follow<K>(shared: Shared<K>, sender: watch::Sender<Followed>)
where
    K: Texts + Default + Serialize + DeserializeOwned,
{
    let mut objects = pin!(watcher::watch_object(shared.api.clone(), &shared.name));
    let mut pause = SHORTEST_PAUSE;
    while let Some(object) = objects.next().await {
        match object {
            Ok(object) => {
                pause = SHORTEST_PAUSE;
                let texts = object.map(|object: K| Arc::new(object.texts()));
                sender.send_replace(Followed { texts, lost: None });
            }
            Err(error) => {
                let error = with_causes(&error);
                tracing::debug!(
                    error,
                    name = shared.name,
                    "An object of the API server cannot be followed"
                );
                sender.send_if_modified(|followed| {
                    let lost = followed.lost.is_none();
                    followed.lost.get_or_insert_with(Instant::now);
                    lost
                });
                // The stream tries again when it is asked for more.
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if sender.is_closed() {
            return;
        }
    }
}

// === impl Texts ===

impl Texts for Secret {
    fn texts(&self) -> BTreeMap<String, String> {
        let data = self.data.iter().flatten();
        data.filter_map(|(key, bytes)| Some((key.clone(), String::from_utf8(bytes.0.clone()).ok()?)))
            .collect()
    }

    fn set_texts(&mut self, texts: BTreeMap<String, String>) {
        let data = texts.into_iter();
        self.data = Some(data.map(|(key, text)| (key, ByteString(text.into_bytes()))).collect());
    }
}

impl Texts for ConfigMap {
    fn texts(&self) -> BTreeMap<String, String> {
        self.data.clone().unwrap_or_default()
    }

    fn set_texts(&mut self, texts: BTreeMap<String, String>) {
        self.data = Some(texts);
    }
}

// === impl Found ===

impl<K: Texts> Found<K> {
    /// What it held.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.0.texts()
    }
}

/// Whether it is the namespace that is missing, and not the object.
fn is_foreign(message: &str) -> bool {
    message.starts_with("namespaces ")
}

/// How long to wait before the API server is asked again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const SERVER_ERROR: u16 = 500;

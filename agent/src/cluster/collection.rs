//! All objects of one kind, as few of their fields as their reader wants, followed.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::{model::ObjectName, telemetry::with_causes};

/// The objects of a kind by name. Dropped, they are followed no longer.
#[derive(Clone, Debug)]
pub(super) struct Collection<T> {
    collected: watch::Receiver<Collected<T>>,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// The objects of a kind at one moment.
#[derive(Clone, Debug)]
pub(super) struct Collected<T> {
    pub(super) objects: Arc<BTreeMap<ObjectName, T>>,
    /// Whether they were ever told in full.
    pub(super) complete: bool,
    /// Since when nobody can say whether they still are so.
    pub(super) lost: Option<Instant>,
}

// === impl Collection ===

impl<T: Clone + PartialEq + Send + Sync + 'static> Collection<T> {
    /// Follows the objects that the API and the configuration name; `reduce` takes of each what is wanted, and nothing of
    /// those that are not. A kind that the API server does not know has no objects until it does.
    pub(super) fn follow<K>(
        api: Api<K>,
        config: watcher::Config,
        reduce: impl Fn(K) -> Option<T> + Send + 'static,
    ) -> Self
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let (sender, collected) = watch::channel(Collected {
            objects: Arc::default(),
            complete: false,
            lost: Some(Instant::now()),
        });
        let task = tokio::spawn(follow(api, config, reduce, sender));
        Self {
            collected,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// The objects at this moment.
    pub(super) fn now(&mut self) -> Collected<T> {
        self.collected.borrow_and_update().clone()
    }

    /// Waits until they are others.
    pub(super) async fn changed(&mut self) {
        // The task, and with it the sender, lives as long as this.
        let _ = self.collected.changed().await;
    }
}

async fn follow<K, T>(
    api: Api<K>,
    config: watcher::Config,
    reduce: impl Fn(K) -> Option<T>,
    sender: watch::Sender<Collected<T>>,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Clone + PartialEq,
{
    let mut events = pin!(watcher(api, config));
    let mut listed = BTreeMap::new();
    let mut pause = SHORTEST_PAUSE;
    while let Some(event) = events.next().await {
        if sender.is_closed() {
            return;
        }
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                lose(&sender, &error);
                // The stream tries again when it is asked for more.
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        pause = SHORTEST_PAUSE;
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                let name = name(&object);
                listed.extend(reduce(object).map(|object| (name, object)));
            }
            Event::InitDone => {
                let objects = Arc::new(std::mem::take(&mut listed));
                sender.send_replace(Collected {
                    objects,
                    complete: true,
                    lost: None,
                });
            }
            Event::Apply(object) => {
                let name = name(&object);
                let reduced = reduce(object);
                put(&sender, name, reduced);
            }
            Event::Delete(object) => put(&sender, name(&object), None),
        }
    }
}

/// Puts an object in the place of its last state, and tells it where something is different.
fn put<T: Clone + PartialEq>(sender: &watch::Sender<Collected<T>>, name: ObjectName, object: Option<T>) {
    sender.send_if_modified(|collected| {
        let found = collected.lost.take().is_some();
        if collected.objects.get(&name) == object.as_ref() {
            return found;
        }
        let objects = Arc::make_mut(&mut collected.objects);
        match object {
            Some(object) => drop(objects.insert(name, object)),
            None => drop(objects.remove(&name)),
        }
        true
    });
}

fn lose<T>(sender: &watch::Sender<Collected<T>>, error: &watcher::Error) {
    // The kind is not installed: there is nothing of it, and that is known.
    let is_absent = matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == NOT_FOUND
    );
    tracing::debug!(
        error = with_causes(error),
        "A kind of the API server cannot be followed"
    );
    sender.send_if_modified(|collected| {
        if is_absent {
            let changed = !collected.complete || !collected.objects.is_empty();
            *collected = Collected {
                objects: Arc::default(),
                complete: true,
                lost: None,
            };
            return changed;
        }
        let changed = collected.lost.is_none();
        collected.lost.get_or_insert_with(Instant::now);
        changed
    });
}

fn name<K: Resource>(object: &K) -> ObjectName {
    ObjectName::new(object.namespace().unwrap_or_default(), object.name_any())
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const NOT_FOUND: u16 = 404;

//! All followed kinds together, as one world that is never half told.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem, panic,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    super::{
        Contact,
        api::ApiServer,
        fate::Fate,
        objects::{Key, Kind, Object, Objects, Scope},
    },
    entry::Entry,
    follow::{Follower, News},
    pace::Pace,
    subject::Subject,
};
use crate::model::{Problem, Severity};

/// What the API server tells of some kinds, and the tasks that follow them. They end with it.
pub(crate) struct World {
    news: mpsc::Receiver<(Kind, News)>,
    told: Told,
    followers: JoinSet<()>,
}

/// All that was told.
#[derive(Debug)]
struct Told {
    scope: Scope,
    /// Kinds of which no full list was ever told.
    missing: BTreeSet<Kind>,
    /// Kinds of which nothing is told at the moment, and when something last was.
    lost: BTreeMap<Kind, SystemTime>,
    objects: BTreeMap<Key, Object>,
    /// Objects of which no good state was ever seen.
    unknown: BTreeSet<Key>,
    problems: BTreeMap<Key, Vec<Problem>>,
}

/// What a batch of news has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Some object, or that all kinds are complete.
    pub(crate) objects: bool,
    /// What is wrong with some object.
    pub(crate) problems: bool,
    /// Whether all of it is as the server has it.
    pub(crate) contact: bool,
}

// === impl World ===

impl World {
    /// Starts following; needs a tokio runtime. `scope` is which pods and slices the subjects bring.
    pub(crate) fn follow(api: &ApiServer, subjects: Vec<Subject>, scope: Scope, pace: Pace) -> Self {
        let (sender, news) = mpsc::channel(NEWS);
        let missing = subjects.iter().map(Subject::kind).collect();
        let mut followers = JoinSet::new();
        for subject in subjects {
            followers.spawn(Follower::new(api.client.clone(), subject, pace, sender.clone()).run());
        }
        Self {
            news,
            told: Told::new(scope, missing),
            followers,
        }
    }

    /// Waits for news, and takes in all that come within `batch` of the first.
    pub(crate) async fn changed(&mut self, batch: Duration) -> Changed {
        let mut changed = Changed::default();
        let mut next = tokio::select! {
            news = self.news.recv() => news,
            Some(Err(ended)) = self.followers.join_next() => match ended.try_into_panic() {
                // A kind that nobody follows must not pass for one in which nothing happens.
                Ok(panic) => panic::resume_unwind(panic),
                Err(_cancelled) => None,
            },
        };
        let until = Instant::now() + batch;
        while let Some((kind, news)) = next {
            self.told.take(kind, news, &mut changed);
            next = timeout_at(until, self.news.recv()).await.ok().flatten();
        }
        changed
    }

    /// Whether every kind was told in full once; before, there is nothing to go by.
    pub(crate) fn is_complete(&self) -> bool {
        self.told.missing.is_empty()
    }

    /// The kinds that lack, for people.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &'static str> {
        self.told.missing.iter().map(|kind| kind.label())
    }

    /// Whether all of it is as the server has it.
    pub(crate) fn contact(&self) -> Contact {
        let lost = self.told.lost.values().min();
        lost.map_or(Contact::Fresh, |since| Contact::Lost { since: *since })
    }

    /// The objects.
    pub(crate) fn objects(&self) -> Objects {
        Objects::new(self.told.scope, &self.told.objects, &self.told.unknown)
    }

    /// What is wrong with single objects, in their order.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.told.problems.values().flatten()
    }
}

// === impl Told ===

impl Told {
    fn new(scope: Scope, missing: BTreeSet<Kind>) -> Self {
        Self {
            scope,
            missing,
            lost: BTreeMap::new(),
            objects: BTreeMap::new(),
            unknown: BTreeSet::new(),
            problems: BTreeMap::new(),
        }
    }

    fn take(&mut self, kind: Kind, news: News, changed: &mut Changed) {
        match news {
            News::All(entries) => {
                changed.contact |= self.lost.remove(&kind).is_some();
                self.replace(kind, entries, changed);
            }
            News::Put(entry) => self.put(entry, changed),
            News::Gone(key) => self.remove(&key, changed),
            News::Heard => changed.contact |= self.lost.remove(&kind).is_some(),
            News::Lost { since } => changed.contact |= self.lost.insert(kind, since) != Some(since),
        }
    }

    /// Puts a list in the place of what was known, in one step.
    fn replace(&mut self, kind: Kind, entries: Vec<Entry>, changed: &mut Changed) {
        changed.objects |= self.missing.remove(&kind);
        let listed: BTreeSet<&Key> = entries.iter().map(|entry| &entry.key).collect();
        let known = self.objects.keys().chain(&self.unknown);
        let gone = known.filter(|key| key.kind == kind && !listed.contains(key));
        let gone: Vec<Key> = gone.cloned().collect();
        for key in gone {
            self.remove(&key, changed);
        }
        for entry in entries {
            self.put(entry, changed);
        }
    }

    fn put(&mut self, entry: Entry, changed: &mut Changed) {
        let Entry { key, object, problems } = entry;
        let fate = match object {
            Some(object) => {
                changed.objects |= self.unknown.remove(&key);
                changed.objects |= self.objects.get(&key) != Some(&object);
                self.objects.insert(key.clone(), object);
                Fate::Used
            }
            None if self.objects.contains_key(&key) => Fate::Kept,
            None => {
                changed.objects |= self.unknown.insert(key.clone());
                Fate::Unknown
            }
        };
        // What is merely worth a word is worth it to who writes a manifest: a cluster has too much of it.
        let errors = problems
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error || key.kind.is_installed());
        let problems: Vec<Problem> = errors.map(|problem| fate.told(key.kind, problem)).collect();
        let before = match problems.is_empty() {
            true => self.problems.remove(&key).unwrap_or_default(),
            false => mem::replace(self.problems.entry(key).or_default(), problems.clone()),
        };
        changed.problems |= before != problems;
    }

    fn remove(&mut self, key: &Key, changed: &mut Changed) {
        changed.objects |= self.objects.remove(key).is_some();
        changed.objects |= self.unknown.remove(key);
        changed.problems |= self.problems.remove(key).is_some();
    }
}

/// How many news may wait; the followers wait with them.
const NEWS: usize = 256;

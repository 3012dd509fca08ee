//! The entries of all files become one set of objects: last good states are kept, doubles are told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    path::Path,
    sync::Arc,
};

use super::{
    super::{
        check::check,
        fate::Fate,
        objects::{Key, Object, Objects, Scope},
        slices::Backends,
    },
    decode::{Content, Entry},
};
use crate::model::{PolicyId, Problem, Severity};

/// What one file holds.
#[derive(Debug, Default)]
pub(super) struct FileContent {
    /// Its entries, in their order.
    pub(super) entries: Vec<Entry>,
    /// Why the file could not be read; its entries are then those of the last time.
    pub(super) unreadable: Option<Problem>,
}

/// An object that counts, with the place where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) object: Object,
    file: Arc<Path>,
    line: u32,
}

/// What all files say together.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) placed: BTreeMap<Key, Placed>,
    pub(super) objects: Objects,
    /// In the order of files and lines.
    pub(super) problems: Vec<Problem>,
}

/// Joins the files; `last` is what counted before.
pub(super) fn collect(files: &BTreeMap<Arc<Path>, FileContent>, last: &BTreeMap<Key, Placed>) -> Collected {
    let mut joined = Joined {
        last,
        ..Joined::default()
    };
    for (file, content) in files {
        joined.problems.extend(content.unreadable.clone());
        for entry in &content.entries {
            joined.add(file, entry);
        }
    }
    for (file, content) in files {
        if content
            .entries
            .iter()
            .any(|entry| matches!(entry.content, Content::Nameless { .. }))
        {
            joined.keep_unseen(file, &content.entries);
        }
    }
    joined.finish()
}

/// What was joined so far.
struct Joined<'a> {
    last: &'a BTreeMap<Key, Placed>,
    seen: HashMap<&'a Key, (&'a Path, u32)>,
    unread: BTreeSet<String>,
    /// Each key once. A tree is made of it in the end: one by one, its thousands are sorted in much more slowly.
    placed: Vec<(Key, Placed)>,
    undecodable: BTreeSet<Key>,
    suspects: BTreeSet<PolicyId>,
    problems: Vec<Problem>,
}

// === impl Joined ===

impl Default for Joined<'_> {
    fn default() -> Self {
        Self {
            last: const { &BTreeMap::new() },
            seen: HashMap::new(),
            unread: BTreeSet::new(),
            placed: Vec::new(),
            undecodable: BTreeSet::new(),
            suspects: BTreeSet::new(),
            problems: Vec::new(),
        }
    }
}

impl<'a> Joined<'a> {
    fn add(&mut self, file: &'a Arc<Path>, entry: &'a Entry) {
        let problem = |severity, object: Option<String>, reason| Problem {
            file: Some(Arc::clone(file)),
            line: Some(entry.line),
            severity,
            object,
            field: None,
            reason,
        };
        let (key, object) = match &entry.content {
            Content::Object(key, object) => (key, object),
            Content::Unread { kind } => {
                if self.unread.insert(kind.clone()) {
                    self.problems
                        .push(problem(Severity::Notice, None, format!("{kind} is not read: skipped")));
                }
                return;
            }
            Content::Nameless { suspects: _ } => {
                self.problems.extend(entry.problems.iter().cloned());
                return;
            }
        };
        if let Some((other, line)) = self.seen.get(key) {
            let reason = format!(
                "this one does not count: it stands already in line {line} of {}",
                other.display()
            );
            self.problems
                .push(problem(Severity::Error, Some(key.to_string()), reason));
            return;
        }
        self.seen.insert(key, (file, entry.line));
        let fresh = object.clone().map(|object| Placed {
            object,
            file: Arc::clone(file),
            line: entry.line,
        });
        let kept = if fresh.is_none() {
            self.last.get(key).cloned()
        } else {
            None
        };
        let fate = match (&fresh, &kept) {
            (Some(_), _) => Fate::Used,
            (None, Some(_)) => Fate::Kept,
            (None, None) => Fate::Unknown,
        };
        let problems = entry.problems.iter().cloned();
        self.problems
            .extend(problems.map(|problem| fate.told(key.kind, problem)));
        match fresh.or(kept) {
            Some(placed) => self.placed.push((key.clone(), placed)),
            None => drop(self.undecodable.insert(key.clone())),
        }
    }

    /// Keeps what stood in a file of which a part has lost its name: it may be that part.
    ///
    /// Where no security policy is kept so, a part that looks like one is one of which no good state was ever seen.
    fn keep_unseen(&mut self, file: &Arc<Path>, entries: &[Entry]) {
        let mut keeps_policy = false;
        for (key, placed) in self.last.iter().filter(|(_, placed)| placed.file == *file) {
            if !self.seen.contains_key(key) {
                keeps_policy |= key.kind.policy().is_some();
                self.placed.push((key.clone(), placed.clone()));
            }
        }
        if keeps_policy {
            return;
        }
        for entry in entries {
            if let Content::Nameless { suspects } = &entry.content {
                self.suspects.extend(suspects.iter().cloned());
            }
        }
    }

    fn finish(mut self) -> Collected {
        let placed: BTreeMap<Key, Placed> = self.placed.into_iter().collect();
        let good = placed.iter().map(|(key, placed)| (key, &placed.object));
        let mut objects = Objects::new(Scope::Manifests, good, &self.undecodable);
        objects.undecodable.extend(mem::take(&mut self.suspects));
        for (key, finding) in check(&objects, &Backends::new(&objects)) {
            let Some(placed) = placed.get(&key) else { continue };
            self.problems.push(Problem {
                file: Some(Arc::clone(&placed.file)),
                line: Some(placed.line),
                severity: finding.severity,
                object: Some(key.to_string()),
                field: Some(finding.field.to_string()),
                reason: finding.reason,
            });
        }
        self.problems.sort();
        Collected {
            placed,
            objects,
            problems: self.problems,
        }
    }
}

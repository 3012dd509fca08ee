//! The folder on disk: which files count, what they hold, and what they say together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    collect::{Collected, FileContent, collect},
    decode::decode,
    print::{Look, Print},
};
use crate::model::{Problem, Severity};

/// A folder and all that was read of it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<Arc<Path>, FileContent>,
    prints: BTreeMap<Arc<Path>, Print>,
    unlistable: Option<Problem>,
    collected: Collected,
}

/// What may differ from what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// These entries of the folder.
    Entries(BTreeSet<PathBuf>),
    /// Anything.
    Anything,
}

// === impl Folder ===

impl Folder {
    /// Reads the folder; fails only where it cannot be listed.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let mut folder = Self::unread(path);
        let listed = list(&folder.path)?;
        folder.read_all(listed);
        folder.collect();
        Ok(folder)
    }

    /// Reads the folder, which may be away.
    pub(super) fn open_or_away(path: PathBuf) -> Self {
        let mut folder = Self::unread(path);
        folder.refresh(&Changed::Anything);
        folder
    }

    /// Whether the folder could be listed the last time.
    pub(super) fn is_there(&self) -> bool {
        self.unlistable.is_none()
    }

    fn unread(path: PathBuf) -> Self {
        Self {
            files: BTreeMap::new(),
            prints: BTreeMap::new(),
            unlistable: None,
            collected: Collected::default(),
            path,
        }
    }

    /// What all files say together.
    pub(super) fn collected(&self) -> &Collected {
        &self.collected
    }

    /// Reads what has changed and says whether anything differs.
    pub(super) fn refresh(&mut self, changed: &Changed) -> bool {
        let differs = match changed {
            Changed::Entries(entries) => self.read_entries(entries),
            Changed::Anything => self.rescan(),
        };
        if differs {
            self.collect();
        }
        differs
    }

    /// Reads the entries that count, and all links: what these lead to changes without a word about them, as when the
    /// `..data` of a mounted ConfigMap is swapped.
    fn read_entries(&mut self, entries: &BTreeSet<PathBuf>) -> bool {
        let links = self.prints.iter().filter(|(_, print)| print.is_link());
        let links: Vec<Arc<Path>> = links.map(|(path, _)| Arc::clone(path)).collect();
        let named = entries.iter().filter(|path| is_manifest(path));
        let named = named.map(|path| Arc::from(path.as_path()));
        let read: BTreeSet<Arc<Path>> = named.chain(links).collect();
        read.into_iter()
            .fold(false, |differs, path| self.read(path, Look::Always) | differs)
    }

    fn rescan(&mut self) -> bool {
        match list(&self.path) {
            Ok(listed) => self.read_all(listed) | self.unlistable.take().is_some(),
            Err(error) => {
                let reason = format!("cannot be listed: {error}; the last good state is kept");
                let problem = whole_file(&self.path, reason);
                self.unlistable.replace(problem.clone()) != Some(problem)
            }
        }
    }

    fn read_all(&mut self, listed: BTreeSet<Arc<Path>>) -> bool {
        let gone = self.files.keys().filter(|path| !listed.contains(*path));
        let gone: Vec<Arc<Path>> = gone.cloned().collect();
        let removed = gone.iter().fold(false, |differs, path| self.forget(path) | differs);
        listed
            .into_iter()
            .fold(removed, |differs, path| self.read(path, Look::IfTouched) | differs)
    }

    /// Reads one file and says whether it holds something else than before.
    fn read(&mut self, path: Arc<Path>, look: Look) -> bool {
        let old = self.prints.get(&path);
        match Print::take(&path, look, old) {
            Ok(None) => false,
            Ok(Some((print, text))) => {
                let same = old.is_some_and(|old| old.same_text(&print));
                self.prints.insert(Arc::clone(&path), print);
                let known = self.files.get(&path);
                if same && known.is_some_and(|content| content.unreadable.is_none()) {
                    return false;
                }
                let content = FileContent {
                    entries: decode(&path, &text),
                    unreadable: None,
                };
                self.files.insert(path, content);
                true
            }
            // Removed, or no file at all: pipes and devices are left alone.
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() => {
                self.forget(&path)
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => self.forget(&path),
            Err(error) => self.keep(path, &error),
        }
    }

    fn forget(&mut self, path: &Path) -> bool {
        self.prints.remove(path);
        self.files.remove(path).is_some()
    }

    /// Keeps what was read of a file before it became unreadable, and tells of it once.
    fn keep(&mut self, path: Arc<Path>, error: &io::Error) -> bool {
        let kept = if self.files.contains_key(&path) {
            "; its last good state is kept"
        } else {
            ""
        };
        self.prints.entry(Arc::clone(&path)).or_default().note_link(&path);
        let content = self.files.entry(Arc::clone(&path)).or_default();
        if content.unreadable.is_some() {
            return false;
        }
        content.unreadable = Some(whole_file(&path, format!("cannot be read: {error}{kept}")));
        true
    }

    fn collect(&mut self) {
        let mut collected = collect(&self.files, &self.collected.placed);
        collected.problems.extend(self.unlistable.clone());
        self.collected = collected;
    }
}

/// The files that count, those of the folder itself.
fn list(folder: &Path) -> io::Result<BTreeSet<Arc<Path>>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(Arc::from(entry?.path())))
        .filter(|path: &io::Result<Arc<Path>>| path.as_ref().map_or(true, |path| is_manifest(path)))
        .collect()
}

/// `*.yaml`, `*.yml` and `*.json` count, but not the hidden ones, as mounted ConfigMaps have them.
fn is_manifest(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let manifest = path
        .extension()
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|it| extension == *it));
    manifest && !hidden
}

fn whole_file(path: &Path, reason: String) -> Problem {
    Problem {
        file: Some(path.into()),
        line: None,
        severity: Severity::Error,
        object: None,
        field: None,
        reason,
    }
}

//! The folder on disk: which files count, what they hold, and what they say together.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    collect::{Collected, FileContent, collect},
    decode::decode,
};
use crate::model::{Problem, Severity};

/// A folder and all that was read of it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<Arc<Path>, FileContent>,
    hashes: BTreeMap<Arc<Path>, u64>,
    unlistable: Option<Problem>,
    collected: Collected,
}

// === impl Folder ===

impl Folder {
    /// Reads the folder; fails only where it cannot be listed.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let mut folder = Self::unread(path);
        let listed = list(&folder.path)?;
        folder.read(listed);
        folder.collect();
        Ok(folder)
    }

    /// Reads the folder, which may be away.
    pub(super) fn open_or_away(path: PathBuf) -> Self {
        let mut folder = Self::unread(path);
        folder.refresh();
        folder
    }

    /// Whether the folder could be listed the last time.
    pub(super) fn is_there(&self) -> bool {
        self.unlistable.is_none()
    }

    fn unread(path: PathBuf) -> Self {
        Self {
            files: BTreeMap::new(),
            hashes: BTreeMap::new(),
            unlistable: None,
            collected: Collected::default(),
            path,
        }
    }

    /// What all files say together.
    pub(super) fn collected(&self) -> &Collected {
        &self.collected
    }

    /// Reads everything again and says whether anything differs.
    ///
    /// All files are read, not those alone which the kernel says have changed: a second write within one tick of the clock
    /// leaves no other trace, and 1,000 small files take some milliseconds.
    pub(super) fn refresh(&mut self) -> bool {
        let differs = match list(&self.path) {
            Ok(listed) => self.read(listed) | self.unlistable.take().is_some(),
            Err(error) => {
                let reason = format!("cannot be listed: {error}; the last good state is kept");
                let problem = whole_file(&self.path, reason);
                self.unlistable.replace(problem.clone()) != Some(problem)
            }
        };
        if differs {
            self.collect();
        }
        differs
    }

    fn read(&mut self, listed: Vec<PathBuf>) -> bool {
        let mut differs = false;
        let mut before = std::mem::take(&mut self.files);
        for path in listed {
            let path: Arc<Path> = path.into();
            let old = before.remove(&path);
            let new = match fs::read_to_string(&path) {
                Ok(text) => {
                    let hash = hash(&text);
                    match old {
                        Some(old) if old.unreadable.is_none() && self.hashes.get(&path) == Some(&hash) => old,
                        Some(_) | None => {
                            differs = true;
                            self.hashes.insert(Arc::clone(&path), hash);
                            FileContent {
                                entries: decode(&path, &text),
                                unreadable: None,
                            }
                        }
                    }
                }
                // Removed since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(&path).is_err() => {
                    differs |= old.is_some();
                    continue;
                }
                Err(error) => {
                    let kept = if old.is_some() {
                        "; its last good state is kept"
                    } else {
                        ""
                    };
                    let problem = whole_file(&path, format!("cannot be read: {error}{kept}"));
                    let (entries, told) = old.map_or_else(Default::default, |old| (old.entries, old.unreadable));
                    differs |= told.is_none();
                    FileContent {
                        entries,
                        unreadable: Some(told.unwrap_or(problem)),
                    }
                }
            };
            self.files.insert(path, new);
        }
        self.hashes.retain(|path, _| self.files.contains_key(path));
        differs || !before.is_empty()
    }

    fn collect(&mut self) {
        let mut collected = collect(&self.files, &self.collected.placed);
        collected.problems.extend(self.unlistable.clone());
        self.collected = collected;
    }
}

/// The files that count: `*.yaml`, `*.yml`, `*.json` of the folder itself, links followed, hidden ones left out, as
/// mounted ConfigMaps have them.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let manifest = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|it| extension == *it));
        if manifest && !hidden && is_file_or_dangling(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A link that leads nowhere is a file that cannot be read, which is told; pipes and devices are left alone.
fn is_file_or_dangling(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

fn whole_file(path: &Path, reason: String) -> Problem {
    Problem {
        file: path.into(),
        line: None,
        severity: Severity::Error,
        object: None,
        field: None,
        reason,
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

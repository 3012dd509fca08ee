//! Looking through manifests without following them: `weft validate`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Error,
    collect::{Collected, FileContent, collect},
    decode::decode,
    folder::Folder,
};
use crate::model::Problem;

/// What is looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder, or one file.
    Path(PathBuf),
    /// A text that stands in no file.
    Text {
        /// What to call it.
        name: PathBuf,
        /// The text.
        text: String,
    },
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// All that is wrong, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// How many good objects there are of each kind that is there.
    pub objects: BTreeMap<&'static str, usize>,
}

/// Looks through manifests; fails only where they cannot be read at all.
pub fn review(source: Source) -> Result<Reviewed, Error> {
    let collected = match source {
        Source::Path(path) if path.is_dir() => {
            let folder = Folder::open(path.clone()).map_err(|source| Error::Read { path, source })?;
            summary(folder.collected())
        }
        Source::Path(path) => {
            let text = fs::read_to_string(&path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            summary(&collect_text(path, &text))
        }
        Source::Text { name, text } => summary(&collect_text(name, &text)),
    };
    Ok(collected)
}

fn collect_text(name: PathBuf, text: &str) -> Collected {
    let file: Arc<Path> = name.into();
    let content = FileContent {
        entries: decode(&file, text),
        unreadable: None,
    };
    collect(&BTreeMap::from([(file, content)]), &BTreeMap::new())
}

fn summary(collected: &Collected) -> Reviewed {
    let mut objects = BTreeMap::new();
    for key in collected.placed.keys() {
        *objects.entry(key.kind.label()).or_default() += 1;
    }
    Reviewed {
        problems: collected.problems.clone(),
        objects,
    }
}

//! Looking through manifests without following them: `weft validate`, `weft policy test`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{assemble::assemble, slices::Backends},
    Error,
    collect::{Collected, FileContent, collect},
    decode::decode,
    folder::Folder,
};
use crate::model::{Mesh, Problem};

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

/// The mesh as the agent of each node sees it that has pods, in the order of nodes; fails only where the folder cannot be
/// read at all.
pub fn meshes(path: &Path) -> Result<Vec<Mesh>, Error> {
    let folder = Folder::open(path.to_path_buf()).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let objects = &folder.collected().objects;
    let backends = Backends::new(objects);
    let nodes: BTreeSet<&Arc<str>> = objects.pods.values().filter_map(|pod| pod.node.as_ref()).collect();
    Ok(nodes
        .into_iter()
        .map(|node| Mesh::new(assemble(objects, &backends, node)))
        .collect())
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

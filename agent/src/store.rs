//! The last mesh that was known, on disk: what an agent starts with while the source of its mesh is away. No keys.
//!
//! The file is one JSON object with a version, for root alone, replaced as a whole. Its time of change is when the source
//! last confirmed it. What is not understood is never used in part.

mod error;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, BufReader, BufWriter, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

pub use error::StoreError;

use crate::model::{Contents, Mesh};

/// The folder in which an agent keeps its mesh.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// A mesh that was kept.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What it is built from.
    pub contents: Contents,
    /// When its source last confirmed it.
    pub confirmed: SystemTime,
}

/// The file, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    contents: &'a Contents,
}

/// The file, as far as every version has it.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The file of this version.
#[derive(Deserialize)]
struct Read {
    contents: Contents,
}

// === impl Store ===

impl Store {
    /// Takes a folder, which is made if it is not there.
    pub fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        match made {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(StoreError::Folder { path: folder, source }),
        }
    }

    /// The mesh that is kept for a node, if there is one.
    pub fn load(&self, node: &str) -> Result<Option<Saved>, StoreError> {
        let path = self.file();
        let unreadable = |source| StoreError::Read {
            path: path.clone(),
            source,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let metadata = file.metadata().map_err(unreadable)?;
        // Who could write it could open what a policy closes.
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(StoreError::NotOurs { path });
        }
        let confirmed = metadata.modified().map_err(unreadable)?;
        let text = io::read_to_string(BufReader::new(file)).map_err(unreadable)?;
        let invalid = |source| StoreError::NotUnderstood {
            path: path.clone(),
            source,
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(invalid)?;
        let Versioned { version } = Versioned::deserialize(&value).map_err(invalid)?;
        if version != VERSION {
            return Err(StoreError::OtherVersion { path, found: version });
        }
        let Read { contents } = Read::deserialize(&value).map_err(invalid)?;
        // A field that is unknown or lacks would be passed over in silence otherwise.
        if value.get("contents") != serde_json::to_value(&contents).ok().as_ref() {
            return Err(StoreError::NotWhole { path });
        }
        if *contents.node != *node {
            return Err(StoreError::OtherNode {
                path,
                found: contents.node.to_string(),
            });
        }
        Ok(Some(Saved { contents, confirmed }))
    }

    /// Keeps a mesh, confirmed at this moment.
    pub fn save(&self, mesh: &Mesh) -> Result<(), StoreError> {
        let path = self.file();
        self.replace(&path, &mesh.contents())
            .map_err(|source| StoreError::Write { path, source })
    }

    /// Tells that the source still says what is kept.
    pub fn confirm(&self) -> Result<(), StoreError> {
        let path = self.file();
        let touched = OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        touched.map_err(|source| StoreError::Write { path, source })
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// At no moment is there half a file, nor after a crash of the machine.
    fn replace(&self, path: &Path, contents: &Contents) -> io::Result<()> {
        let draft = self.folder.join(DRAFT);
        // One that a dead agent has left may have any mode.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut writer = BufWriter::new(file);
        let written = Written {
            version: VERSION,
            contents,
        };
        serde_json::to_writer(&mut writer, &written)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        fs::rename(&draft, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// The version of the layout: it counts up whenever [`Contents`] is written in another way.
const VERSION: u32 = 3;

const FILE: &str = "mesh.json";

const DRAFT: &str = ".mesh.json.draft";

#[cfg(test)]
mod tests;

//! The folder of a CA: one file that only its owner may read, changed as a whole and under a lock.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    CaServerError,
    state::{State, VERSION},
    waits::Waits,
};

/// The folder of a CA.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What tells one version of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    modified: (i64, i64),
}

// === impl Folder ===

impl Folder {
    /// Takes a folder, and makes it with a new CA where there is none.
    pub(super) fn create(path: &Path, trust_domain: &str) -> Result<Self, CaServerError> {
        let folder = Self { path: path.to_owned() };
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(folder.failed(path))?;
        folder.check(path, FOLDER_MODE)?;
        let _lock = folder.lock()?;
        if !folder.file().exists() {
            folder.write(STATE, &State::create(trust_domain)?)?;
        }
        folder.read()?;
        Ok(folder)
    }

    /// Takes the folder of a CA that exists.
    pub(super) fn open(path: &Path) -> Result<Self, CaServerError> {
        let folder = Self { path: path.to_owned() };
        if !folder.file().exists() {
            return Err(CaServerError::Absent { path: path.to_owned() });
        }
        folder.check(path, FOLDER_MODE)?;
        Ok(folder)
    }

    /// Reads the state; refuses it where others could have.
    pub(super) fn read(&self) -> Result<State, CaServerError> {
        let state: State = self.parse(&self.file())?;
        if state.version == VERSION {
            Ok(state)
        } else {
            Err(CaServerError::Senseless("version"))
        }
    }

    /// Changes the state under the lock.
    pub(super) fn edit<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, CaServerError>,
    ) -> Result<T, CaServerError> {
        let _lock = self.lock()?;
        let mut state = self.read()?;
        let changed = change(&mut state)?;
        self.write(STATE, &state)?;
        Ok(changed)
    }

    /// Tells `weft ca show` whom a rotation waits for.
    pub(super) fn write_waits(&self, waits: &Waits) -> Result<(), CaServerError> {
        let _lock = self.lock()?;
        self.write(WAITS, waits)
    }

    /// Whom a rotation waited for last, where a CA has ever told it.
    pub(super) fn read_waits(&self) -> Result<Option<Waits>, CaServerError> {
        let path = self.path.join(WAITS);
        if path.exists() {
            self.parse(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Which version of the file is there.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(self.file()).ok()?;
        Some(Stamp {
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    fn parse<T: DeserializeOwned>(&self, path: &Path) -> Result<T, CaServerError> {
        self.check(path, FILE_MODE)?;
        let text = fs::read(path).map_err(self.failed(path))?;
        serde_json::from_slice(&text).map_err(|source| CaServerError::Unreadable {
            path: path.to_owned(),
            source,
        })
    }

    fn write(&self, name: &str, content: &impl Serialize) -> Result<(), CaServerError> {
        let (path, next) = (self.path.join(name), self.path.join("state.next"));
        let text = serde_json::to_vec_pretty(content).map_err(|source| CaServerError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let written = || -> io::Result<()> {
            let mut file = private(&next)?;
            file.set_len(0)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(self.failed(&path))
    }

    fn lock(&self) -> Result<Flock<File>, CaServerError> {
        let path = self.path.join("lock");
        let file = private(&path).map_err(self.failed(&path))?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| self.failed(&path)(errno.into()))
    }

    fn check(&self, path: &Path, wanted: u32) -> Result<(), CaServerError> {
        let mode = fs::metadata(path).map_err(self.failed(path))?.mode() & 0o7777;
        if mode & !wanted == 0 {
            Ok(())
        } else {
            Err(CaServerError::Loose {
                path: path.to_owned(),
                mode,
                wanted,
            })
        }
    }

    fn file(&self) -> PathBuf {
        self.path.join(STATE)
    }

    fn failed(&self, path: &Path) -> impl Fn(io::Error) -> CaServerError + use<> {
        let path = path.to_owned();
        move |source| CaServerError::File {
            path: path.clone(),
            source,
        }
    }
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
}

const STATE: &str = "state.json";
const WAITS: &str = "waits.json";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

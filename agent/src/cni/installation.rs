//! The plugin among those of the runtime: put there, kept there, taken away.
//!
//! What comes first is what harms nobody alone: the binary before the list that names it, and the list's entry away before
//! the binary. A list that names a plugin which is not there keeps every pod of the node from starting.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::Serialize;

use super::{
    SOCKET,
    binary::{Binary, BinaryError},
    chain::{ChainError, Chained, Kind, chained, chained_single, unchained},
    chosen::{Chosen, Configuration, all, name_before},
    roll,
};

/// Where the plugin lies and is named.
#[derive(Debug)]
pub struct Installation {
    binary: Binary,
    conf_dir: PathBuf,
    run_dir: PathBuf,
}

/// Why the plugin is not installed, or not removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The binary is not where it should be.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The runtime's folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written or removed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No network is configured yet.
    #[error("no network is configured in {} yet", path.display())]
    NoNetwork {
        /// The folder.
        path: PathBuf,
    },
    /// The network's configuration is none that can be chained.
    #[error("the plugin cannot be chained into {}: {reason}", path.display())]
    NotChained {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What an installation has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Installed {
    /// Whether the binary was another one.
    pub(super) binary: bool,
    /// The list that was written.
    pub(super) list: Option<PathBuf>,
}

/// What was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Uninstalled {
    /// The lists that named the plugin.
    pub lists: Vec<PathBuf>,
    /// The binary, where it was there.
    pub binary: Option<PathBuf>,
}

// === impl Installation ===

impl Installation {
    /// Says where; nothing is touched yet. `run_dir` is what the plugin is told of the folder that it shares with the agent.
    pub fn new(bin_dir: PathBuf, conf_dir: PathBuf, run_dir: PathBuf) -> Self {
        Self {
            binary: Binary::new(bin_dir),
            conf_dir,
            run_dir,
        }
    }

    /// The folder of the lists.
    pub(super) fn conf_dir(&self) -> &Path {
        &self.conf_dir
    }

    /// From here on the agent keeps the plugin there.
    pub(super) fn begin(&self) -> Result<(), InstallError> {
        let marker = self.marker();
        let cannot = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Write { path, source }
        };
        fs::create_dir_all(&self.conf_dir).map_err(cannot(&self.conf_dir))?;
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot(&marker)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether somebody has taken the plugin away on purpose since the agent began.
    pub(super) fn is_ended(&self) -> bool {
        self.marker().exists()
    }

    /// Makes binary and list be as they should be.
    ///
    /// A binary that cannot be had takes its entry with it.
    pub(super) fn mend(&mut self) -> Result<Installed, InstallError> {
        let binary = match self.binary.install() {
            Ok(changed) => changed,
            Err(error) => {
                if !self.binary.path().exists() {
                    self.leave_lists()?;
                }
                return Err(error.into());
            }
        };
        let list = self.join_list()?;
        Ok(Installed { binary, list })
    }

    /// Takes entry and binary away, for a living agent too; `settle` is how long the runtime has to see that the list is
    /// another one.
    pub fn remove(&self, settle: Duration) -> Result<Uninstalled, InstallError> {
        if self.run_dir.is_dir() {
            self.write(&self.marker(), "")?;
        }
        let lists = self.leave_lists()?;
        if !lists.is_empty() {
            thread::sleep(settle);
        }
        let binary = self.binary.remove()?.then(|| self.binary.path());
        // Nobody reads them any longer; the marker is for an agent that lives still. What is not there needs no removal,
        // and what else lies in the folder stays.
        let _ = fs::remove_file(roll::path(&self.run_dir));
        let socket = self.run_dir.join(SOCKET);
        if UnixStream::connect(&socket).is_err() {
            let _ = fs::remove_file(socket);
            let _ = fs::remove_file(self.marker());
            let _ = fs::remove_dir(&self.run_dir);
        }
        Ok(Uninstalled { lists, binary })
    }

    fn join_list(&self) -> Result<Option<PathBuf>, InstallError> {
        let Chosen { network, made } = self.look(Chosen::look)?;
        let Some(network) = network else {
            self.remove_made(&made, None)?;
            return Err(InstallError::NoNetwork {
                path: self.conf_dir.clone(),
            });
        };
        let path = self.conf_dir.join(&network.name);
        let not_chained = |error: ChainError| InstallError::NotChained {
            path: path.clone(),
            reason: crate::telemetry::with_causes(&error),
        };
        match network.kind {
            Kind::List => {
                let changed = chained(&network.text, &self.run_dir).map_err(not_chained)?;
                let written = match changed {
                    Chained::Already => None,
                    Chained::Changed(text) => self.replace(&network, &text)?,
                };
                self.remove_made(&made, None)?;
                Ok(written)
            }
            Kind::Single => {
                let list = chained_single(&network.text, &network.name, &self.run_dir).map_err(not_chained)?;
                let name = name_before(&network.name);
                let path = self.conf_dir.join(&name);
                let present = made.iter().any(|made| made.name == name && made.text == list);
                if !present {
                    self.write(&path, &list)?;
                }
                self.remove_made(&made, Some(&name))?;
                Ok((!present).then_some(path))
            }
        }
    }

    /// Takes our entry out of all lists, whichever the runtime takes.
    fn leave_lists(&self) -> Result<Vec<PathBuf>, InstallError> {
        if !self.conf_dir.is_dir() {
            return Ok(Vec::new());
        }
        let Chosen { made, .. } = self.look(Chosen::look)?;
        let mut left = self.remove_made(&made, None)?;
        for file in self.look(all)? {
            if let Some(text) = unchained(&file.text)
                && let Some(path) = self.replace(&file, &text)?
            {
                left.push(path);
            }
        }
        left.sort();
        Ok(left)
    }

    fn remove_made(&self, made: &[Configuration], but: Option<&str>) -> Result<Vec<PathBuf>, InstallError> {
        let superfluous = made.iter().filter(|made| but != Some(made.name.as_str()));
        let paths = superfluous.map(|made| self.conf_dir.join(&made.name));
        paths
            .map(|path| match fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => Err(InstallError::Write { path, source }),
                Ok(()) | Err(_) => Ok(path),
            })
            .collect()
    }

    fn look<T>(&self, at: impl Fn(&Path) -> io::Result<T>) -> Result<T, InstallError> {
        at(&self.conf_dir).map_err(|source| InstallError::Read {
            path: self.conf_dir.clone(),
            source,
        })
    }

    /// Replaces a file of somebody else, unless it is another one by now: the change of it is told, and looked at then.
    fn replace(&self, file: &Configuration, text: &str) -> Result<Option<PathBuf>, InstallError> {
        let path = self.conf_dir.join(&file.name);
        if fs::read_to_string(&path).ok().as_ref() != Some(&file.text) {
            return Ok(None);
        }
        self.write(&path, text)?;
        Ok(Some(path))
    }

    /// Writes a file as a whole, under a name that no runtime reads until it is.
    fn write(&self, path: &Path, text: &str) -> Result<(), InstallError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = path.with_file_name(format!(".{name}.weft-new"));
        let write = || {
            let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777);
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&draft)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        write().map_err(|source| InstallError::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn marker(&self) -> PathBuf {
        self.run_dir.join("uninstalled")
    }
}

/// How long a runtime may need to see that its configuration is another one.
pub const SETTLE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

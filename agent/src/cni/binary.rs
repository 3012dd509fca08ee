//! The plugin's binary in the runtime's folder: this very program, under another name.

use std::{
    fs::{self, File, Metadata},
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{NAME, call::COMMAND};

/// Where the plugin lies, and what it is a copy of.
#[derive(Debug)]
pub(super) struct Binary {
    folder: PathBuf,
    program: PathBuf,
    /// By what an unchanged file is known, so that not all of it is read at each look.
    known: Option<Stamp>,
}

/// What differs when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Why the plugin cannot be put where the runtime looks for it.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// A file cannot be read or written.
    #[error("cannot copy the plugin to {}", path.display())]
    Copy {
        /// The plugin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written does not run.
    #[error("the plugin at {} does not run: {reason}", path.display())]
    Broken {
        /// The plugin.
        path: PathBuf,
        /// What it did.
        reason: String,
    },
    /// The file cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The plugin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

// === impl Binary ===

impl Binary {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self::of(OWN.into(), folder)
    }

    /// The plugin as a copy of some program.
    pub(super) fn of(program: PathBuf, folder: PathBuf) -> Self {
        Self {
            folder,
            program,
            known: None,
        }
    }

    /// The plugin's path.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// Makes the plugin be this program; says whether it was another one. At no moment is half of it there, nor one that
    /// does not run.
    pub(super) fn install(&mut self) -> Result<bool, BinaryError> {
        let path = self.path();
        let copy = |source| BinaryError::Copy {
            path: path.clone(),
            source,
        };
        let present = fs::metadata(&path).ok().as_ref().map(Stamp::of);
        if present.is_some() && present == self.known {
            return Ok(false);
        }
        let same = present.is_some() && is_same(&self.program, &path).map_err(copy)?;
        if !same {
            fs::create_dir_all(&self.folder).map_err(copy)?;
            let draft = self.folder.join(format!(".{NAME}.new"));
            copy_to(&self.program, &draft).map_err(copy)?;
            if let Err(reason) = try_out(&draft) {
                let _ = fs::remove_file(&draft);
                return Err(BinaryError::Broken { path, reason });
            }
            fs::rename(&draft, &path).map_err(copy)?;
        }
        self.known = fs::metadata(&path).ok().as_ref().map(Stamp::of);
        Ok(!same)
    }

    /// Removes the plugin; says whether it was there.
    pub(super) fn remove(&self) -> Result<bool, BinaryError> {
        let path = self.path();
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(BinaryError::Remove { path, source }),
        }
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn copy_to(program: &Path, draft: &Path) -> io::Result<()> {
    let mut source = File::open(program)?;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o755)
        .open(draft)?;
    io::copy(&mut source, &mut file)?;
    file.sync_all()
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let [one, other] = [File::open(one)?, File::open(other)?];
    if one.metadata()?.size() != other.metadata()?.size() {
        return Ok(false);
    }
    let [mut one, mut other] = [one, other].map(|file| BufReader::with_capacity(CHUNK, file));
    loop {
        let [ours, theirs] = [one.fill_buf()?, other.fill_buf()?];
        let length = ours.len().min(theirs.len());
        if ours[..length] != theirs[..length] {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        one.consume(length);
        other.consume(length);
    }
}

/// Has the plugin say which versions it speaks: one that cannot even do that would keep every pod from starting.
fn try_out(path: &Path) -> Result<(), String> {
    let deadline = Instant::now() + TRIAL;
    let told = |error: io::Error| error.to_string();
    let mut child = loop {
        let spawned = Command::new(path)
            .arg0(NAME)
            .env_clear()
            .env(COMMAND, "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            // Another thread that starts a process at this moment holds what was written open.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            spawned => break spawned.map_err(told)?,
        }
    };
    if let Some(mut stdin) = child.stdin.take() {
        // What it says counts, whether or not it has listened.
        let _ = stdin.write_all(b"{\"cniVersion\":\"1.0.0\"}");
    }
    while child.try_wait().map_err(told)?.is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err("it does not end".to_owned());
        }
        thread::sleep(PAUSE);
    }
    let output = child.wait_with_output().map_err(told)?;
    let speaks = String::from_utf8_lossy(&output.stdout).contains("supportedVersions");
    match output.status.success() && speaks {
        true => Ok(()),
        false => Err(format!("{}", output.status)),
    }
}

/// This program, also when its file was replaced meanwhile.
const OWN: &str = "/proc/self/exe";

const CHUNK: usize = 256 * 1024;
const TRIAL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

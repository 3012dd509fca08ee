//! What `cleanup` does when the kernel holds nothing of Weft any more.

use std::{fs, io, path::Path};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::DebugError;

/// What is to be done after the cleaning.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Afterwards {
    /// Remove what agents keep in /run/weft and /var/lib/weft too: the last mesh, sockets
    #[arg(long)]
    files: bool,

    /// Stay until SIGTERM: for a DaemonSet, whose pods must not end
    #[arg(long)]
    stay: bool,
}

// === impl Afterwards ===

impl Afterwards {
    pub(super) fn run(self) -> Result<(), DebugError> {
        if self.files {
            FOLDERS.iter().try_for_each(|folder| empty(Path::new(folder)))?;
        }
        if self.stay {
            stay().map_err(DebugError::Stay)?;
        }
        Ok(())
    }
}

/// Removes all that lies in a folder; the folder itself may be a mount.
fn empty(folder: &Path) -> Result<(), DebugError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DebugError::Remove { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(folder)(error)),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_folder {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(failed(&path))?;
    }
    Ok(())
}

fn stay() -> io::Result<()> {
    crate::cli::runtime()?.block_on(async {
        signal(SignalKind::terminate())?.recv().await;
        Ok(())
    })
}

const FOLDERS: [&str; 2] = ["/run/weft", "/var/lib/weft"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_emptied_and_stays_and_one_that_is_missing_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("node-1/kept")).unwrap();
        fs::write(folder.path().join("node-1.sock"), "").unwrap();
        empty(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        empty(&folder.path().join("missing")).unwrap();
    }
}

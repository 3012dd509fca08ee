//! Unix sockets that belong to root alone, and whose files go with them.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Type};
use tokio::net::{UnixListener, UnixStream, unix};

/// A listening socket, whose file goes with it.
#[derive(Debug)]
pub struct RootSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RootSocketError {
    /// The socket cannot be made.
    #[error("cannot listen at {}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process answers there.
    #[error("another agent answers at {}", path.display())]
    Taken {
        /// The socket's path.
        path: PathBuf,
    },
}

// === impl RootSocket ===

impl RootSocket {
    /// Takes a path unless somebody answers there; what a dead process has left is replaced. Needs a tokio runtime.
    pub fn bind(path: PathBuf) -> Result<Self, RootSocketError> {
        if StdUnixStream::connect(&path).is_ok() {
            return Err(RootSocketError::Taken { path });
        }
        match Self::replace(&path) {
            Ok((listener, inode)) => Ok(Self { listener, path, inode }),
            Err(source) => Err(RootSocketError::Socket { path, source }),
        }
    }

    /// Waits for the next client.
    pub async fn accept(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        self.listener.accept().await
    }

    fn replace(path: &Path) -> io::Result<(UnixListener, u64)> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        match fs::symlink_metadata(path) {
            Ok(left) if left.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        // The file gets the mode that the socket has before (`unix_bind_bsd`): at no moment may others connect.
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(BACKLOG)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok((UnixListener::from_std(socket.into())?, inode))
    }
}

impl Drop for RootSocket {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const BACKLOG: i32 = 64;

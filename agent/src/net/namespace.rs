//! Network namespaces: handles, and work done inside one.

use std::{
    cell::Cell,
    fmt,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    process,
    sync::{Arc, OnceLock},
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use socket2::{Domain, Socket, Type};

use super::NetError;

/// A handle to a network namespace, which it keeps alive.
#[derive(Clone)]
pub struct NetNs(Arc<Handle>);

/// The kernel's identifier of a network namespace, never used again (`SO_NETNS_COOKIE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

struct Handle {
    fd: OwnedFd,
    inode: u64,
    cookie: OnceLock<Cookie>,
}

/// Brings the thread back to where it came from.
struct Leave(NetNs);

// === impl NetNs ===

impl NetNs {
    /// Opens the namespace behind a path, which may come from an annotation: what is no namespace is never opened
    /// for reading, since that blocks on a FIFO and acts on a device.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NetError> {
        let path = path.as_ref();
        let failed = |source: io::Error| NetError::Open {
            path: path.into(),
            source,
        };
        let not_a_namespace = || NetError::NotANamespace { path: path.into() };

        let place = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)
            .map_err(failed)?;
        if fstatfs(&place).map_err(|e| failed(e.into()))?.filesystem_type() != NSFS_MAGIC {
            return Err(not_a_namespace());
        }
        let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).map_err(failed)?;
        Self::of(file).map_err(failed)?.ok_or_else(not_a_namespace)
    }

    /// Takes a descriptor that another process has opened and passed on: its path may mean nothing here.
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self, NetError> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
        let found = match fstatfs(&descriptor) {
            Ok(status) if status.filesystem_type() == NSFS_MAGIC => Self::of(descriptor.into()),
            Ok(_) => Ok(None),
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(Some(netns)) => Ok(netns),
            Ok(None) => Err(NetError::NotANamespace { path }),
            Err(source) => Err(NetError::Open { path, source }),
        }
    }

    /// None for a namespace of another kind.
    fn of(file: File) -> io::Result<Option<Self>> {
        if kind(&file)? != CloneFlags::CLONE_NEWNET {
            return Ok(None);
        }
        let inode = file.metadata()?.ino();
        Ok(Some(Self(Arc::new(Handle {
            fd: file.into(),
            inode,
            cookie: OnceLock::new(),
        }))))
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, NetError> {
        Self::open(OWN)
    }

    /// The namespace of a process.
    pub fn of_process(pid: u32) -> Result<Self, NetError> {
        Self::open(format!("/proc/{pid}/ns/net"))
    }

    /// The inode by which /proc and `ip netns` name the namespace; the kernel gives it to another one later.
    pub fn inode(&self) -> u64 {
        self.0.inode
    }

    /// The cookie by which kernel programs name the namespace.
    pub fn cookie(&self) -> Result<Cookie, NetError> {
        if let Some(cookie) = self.0.cookie.get() {
            return Ok(*cookie);
        }
        let socket = self
            .run(|| Socket::new(Domain::UNIX, Type::DGRAM, None))?
            .map_err(NetError::call("socket"))?;
        let cookie = match (cookie_of(socket.as_fd()), COOKIES.get()) {
            (Err(error), Some(ask)) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => ask(self),
            (told, _) => told,
        };
        let cookie = cookie.map_err(NetError::call("SO_NETNS_COOKIE"))?;
        Ok(*self.0.cookie.get_or_init(|| cookie))
    }

    /// Runs `work` on the calling thread inside the namespace and comes back, also from a panic.
    ///
    /// A thread that cannot come back would run everybody's tasks in a pod's namespace: the process aborts. Where a
    /// thread is, is remembered from its first call on, so nothing else may move it to another namespace after that.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, NetError> {
        let here = match PLACE.take() {
            Some(here) => here,
            None => Self::current()?,
        };
        let entered = setns(self, CloneFlags::CLONE_NEWNET);
        if let Err(error) = entered {
            PLACE.set(Some(here));
            return Err(NetError::Enter(error.into()));
        }
        PLACE.set(Some(self.clone()));
        let _leave = Leave(here);
        Ok(work())
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl PartialEq for NetNs {
    fn eq(&self, other: &Self) -> bool {
        self.inode() == other.inode()
    }
}

impl Eq for NetNs {}

impl fmt::Debug for NetNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetNs({})", self.inode())
    }
}

// === impl Cookie ===

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Leave ===

impl Drop for Leave {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.0, CloneFlags::CLONE_NEWNET) {
            tracing::error!(%error, "Cannot leave a pod's network namespace");
            process::abort();
        }
        PLACE.set(Some(self.0.clone()));
    }
}

/// Says how a namespace's cookie is learnt where the kernel does not tell it (before 5.14). The first word counts.
pub fn ask_cookies_of(ask: impl Fn(&NetNs) -> io::Result<Cookie> + Send + Sync + 'static) {
    // Whoever comes second asks the same kernel.
    let _ = COOKIES.set(Box::new(ask));
}

type Ask = Box<dyn Fn(&NetNs) -> io::Result<Cookie> + Send + Sync>;

static COOKIES: OnceLock<Ask> = OnceLock::new();

thread_local! {
    /// The namespace that the thread is in: to open it anew each time costs more than to enter and leave another.
    static PLACE: Cell<Option<NetNs>> = const { Cell::new(None) };
}

/// Which kind of namespace a file of nsfs is.
fn kind(file: &File) -> io::Result<CloneFlags> {
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory; `file` is open for the length of the call.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(CloneFlags::from_bits_retain(kind))
}

fn cookie_of(socket: BorrowedFd<'_>) -> io::Result<Cookie> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: both pointers are to locals that outlive the call, and `length` is the size of what the first points to.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Cookie(cookie))
}

/// The calling thread's own namespace; `self` would be the main thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// `_IO(0xb7, 3)` of linux/nsfs.h.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// asm-generic/socket.h, Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

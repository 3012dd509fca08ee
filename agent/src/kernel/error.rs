//! What can go wrong between the agent and the kernel's BPF side.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    maps::MapError,
    pin::PinError,
    programs::{ProgramError, links::LinkError},
};

use crate::{model::PodUid, net::NetError};

/// Why a program, map, link or pin is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This binary was built without the kernel programs.
    #[error("this binary holds no kernel programs; build it by `cargo xtask build`")]
    NoPrograms,
    /// There is no cgroup2 file system.
    #[error("no cgroup2 file system is mounted")]
    NoCgroup,
    /// A cgroup's folder cannot be opened.
    #[error("cannot open the cgroup {}", path.display())]
    Cgroup {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder or pin cannot be made, moved or removed.
    #[error("cannot {action} {}", path.display())]
    Pin {
        /// What was tried.
        action: &'static str,
        /// The folder or pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder of the pins lies on another file system.
    #[error("{} is no BPF file system; mount one by `mount -t bpf bpf {}`", path.display(), path.display())]
    NotBpffs {
        /// The folder.
        path: PathBuf,
    },
    /// The object with the programs cannot be loaded.
    #[error("cannot load the kernel programs")]
    Load(#[source] Box<EbpfError>),
    /// The object lacks a program, or has it with another type.
    #[error("the kernel programs lack {0}")]
    NoProgram(&'static str),
    /// The object lacks a map.
    #[error("the kernel programs lack the map {0}")]
    NoMap(&'static str),
    /// A program is refused by the kernel, or cannot be attached.
    #[error("cannot load or attach the program {name}")]
    Program {
        /// The program.
        name: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A map cannot be opened, read or written.
    #[error("cannot use the map {name}")]
    Map {
        /// The map.
        name: &'static str,
        /// Why.
        source: MapError,
    },
    /// The programs at a cgroup's hook cannot be listed.
    #[error("cannot list the programs at a cgroup")]
    Query(#[source] io::Error),
    /// A link cannot be read.
    #[error("cannot use the link of {name}")]
    Link {
        /// The program.
        name: &'static str,
        /// Why.
        source: LinkError,
    },
    /// A link cannot be pinned.
    #[error("cannot pin the link of {name}")]
    PinLink {
        /// The program.
        name: &'static str,
        /// Why.
        source: PinError,
    },
    /// Something of a namespace failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A ring buffer cannot be watched.
    #[error("cannot watch the map {name}")]
    Watch {
        /// The map.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Why a pod is not captured at the moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaptureError {
    #[error("its network namespace is not there yet")]
    NoNamespace,
    #[error("its network namespace is the node's own")]
    HostNamespace,
    #[error("its network namespace is that of pod {0} already")]
    SharedNamespace(PodUid),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

// === impl KernelError ===

impl KernelError {
    /// To be used with `map_err`.
    pub(super) fn map(name: &'static str) -> impl FnOnce(MapError) -> Self {
        move |source| Self::Map { name, source }
    }

    /// To be used with `map_err`.
    pub(super) fn program(name: &'static str) -> impl FnOnce(ProgramError) -> Self {
        move |source| Self::Program {
            name,
            source: Box::new(source),
        }
    }

    /// To be used with `map_err`.
    pub(super) fn pin(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Pin {
            action,
            path: path.into(),
            source,
        }
    }
}

// === impl CaptureError ===

impl From<NetError> for CaptureError {
    fn from(error: NetError) -> Self {
        Self::Kernel(error.into())
    }
}

//! What can go wrong between the agent and the kernel.

use std::{io, net::SocketAddr, path::PathBuf};

/// An operation on a namespace, a socket or the kernel's tables that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A path cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path is something else than a network namespace.
    #[error("{} is not a network namespace", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
    },
    /// A namespace cannot be entered.
    #[error("cannot enter the network namespace")]
    Enter(#[source] io::Error),
    /// A system call failed.
    #[error("{call} failed")]
    Call {
        /// What was tried.
        call: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A socket cannot be bound.
    #[error("cannot bind {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A datagram has more bytes than a packet can hold.
    #[error("{length} bytes are too many for a datagram")]
    DatagramTooLong {
        /// How many.
        length: usize,
    },
    /// No port is left for a listener.
    #[error("no port is free for a listener")]
    NoListenerPort,
    /// A sysctl cannot be read or written.
    #[error("sysctl {name}")]
    Sysctl {
        /// Its name below /proc/sys.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A sysctl holds something else than what it is known to hold.
    #[error("sysctl {name} holds {value:?}")]
    SysctlValue {
        /// Its name below /proc/sys.
        name: String,
        /// What it holds.
        value: String,
    },
}

// === impl NetError ===

impl NetError {
    /// The kernel's own error behind it, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Open { source, .. }
            | Self::Enter(source)
            | Self::Call { source, .. }
            | Self::Bind { source, .. }
            | Self::Sysctl { source, .. } => Some(source),
            Self::NotANamespace { .. }
            | Self::DatagramTooLong { .. }
            | Self::NoListenerPort
            | Self::SysctlValue { .. } => None,
        }
    }

    /// Whether the process or the system is out of file descriptors.
    pub fn out_of_descriptors(&self) -> bool {
        matches!(
            self.io().and_then(io::Error::raw_os_error),
            Some(libc::EMFILE | libc::ENFILE)
        )
    }

    /// Makes a [`NetError::Call`] of an error, to be used with `map_err`.
    pub(super) fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Call {
            call,
            source: source.into(),
        }
    }
}

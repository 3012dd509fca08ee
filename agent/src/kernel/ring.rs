//! Ring buffers watched by the runtime.

use std::os::fd::AsRawFd;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

use super::KernelError;

/// A ring that keeps one descriptor from its making to its end.
pub(super) trait Ring: AsRawFd {}

impl Ring for RingBuf<MapData> {}

impl<T> Ring for EbpfLogger<T> {}

/// Watches a ring on the current tokio runtime.
pub(super) fn watch<R: Ring>(ring: R, name: &'static str) -> Result<AsyncFd<R>, KernelError> {
    // SAFETY: a [`Ring`] gives the same descriptor each time, and closes it only when it is dropped.
    let watched = unsafe { AsyncFd::register(ring) };
    watched.map_err(|error| KernelError::Watch {
        name,
        source: error.into(),
    })
}

//! When and where a connection was seen to begin.

use crate::layout::map_value;

/// A connect() that was seen, the value of [`crate::names::map::LEGS`] and [`crate::names::map::PROBES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Sighting {
    time: u64,
    cookie: u64,
}

map_value!(Sighting, 16);

// === impl Sighting ===

impl Sighting {
    /// Joins the time, by CLOCK_MONOTONIC in nanoseconds, and the cookie of the socket's network namespace.
    #[inline(always)]
    pub const fn new(time: u64, cookie: u64) -> Self {
        Self { time, cookie }
    }

    /// When, by CLOCK_MONOTONIC in nanoseconds.
    #[inline(always)]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The network namespace of the socket that connects: who makes a socket cannot choose another's.
    #[inline(always)]
    pub const fn cookie(&self) -> u64 {
        self.cookie
    }
}

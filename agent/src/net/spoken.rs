//! What the peer's agent said while the connection was made, as the kernel programs tell it.

use std::{io, os::fd::AsFd};

use agent_common::priority::{SPEAKS, UNKNOWN};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

/// What is known of the peer's agent, by the option in its SYN or SYN-ACK: a hint, no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spoken {
    /// It said that it is of this mesh.
    Mesh,
    /// What it said is lost; told of accepted connections only.
    Unknown,
    /// It said nothing, or is of another mesh.
    No,
}

/// Reads what was said on a connection and resets the socket's priority, by which it is told. To be called once.
pub fn spoken(connection: &impl AsFd) -> io::Result<Spoken> {
    let priority = getsockopt(connection, sockopt::Priority)?;
    let spoken = match u32::try_from(priority) {
        Ok(SPEAKS) => Spoken::Mesh,
        Ok(UNKNOWN) => Spoken::Unknown,
        Ok(_) | Err(_) => return Ok(Spoken::No),
    };
    setsockopt(connection, sockopt::Priority, &0)?;
    Ok(spoken)
}

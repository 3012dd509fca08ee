//! What a connection has sent and its peer has not acknowledged.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

/// Counts the bytes that the peer has not acknowledged (SIOCOUTQ); they are lost where the connection is reset.
pub fn unacknowledged(connection: &impl AsFd) -> io::Result<usize> {
    let connection = connection.as_fd();
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int to the pointer, which is to a local; `connection` is open during the call.
    let result = unsafe { libc::ioctl(connection.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or_default())
}

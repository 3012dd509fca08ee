//! Descriptors passed from one process to another over a unix socket (`SCM_RIGHTS`).

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};

/// What one call has read.
#[derive(Debug)]
pub struct Passed {
    /// How many bytes; 0 at the end.
    pub length: usize,
    /// The descriptor that came with them.
    pub descriptor: Option<OwnedFd>,
}

/// Sends bytes, and a descriptor with the first of them; says how many were taken.
pub fn send_with(socket: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let descriptors = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
    let control = descriptors
        .as_ref()
        .map(|descriptors| ControlMessage::ScmRights(descriptors));
    let sent = sendmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(bytes)],
        control.as_slice(),
        MsgFlags::MSG_NOSIGNAL,
        None,
    );
    Ok(sent?)
}

/// Reads bytes, and the descriptor that comes with them; of several the first, the others are closed.
pub fn receive_with(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Passed> {
    let mut control = cmsg_space!([std::os::fd::RawFd; MOST]);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut owned = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows of it.
                owned.push(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    Ok(Passed {
        length: received.bytes,
        descriptor: owned.into_iter().next(),
    })
}

/// More descriptors than this are not taken: the kernel drops them.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::{super::NetNs, *};

    #[test]
    fn a_namespace_is_the_same_after_it_was_passed() {
        let (one, other) = UnixStream::pair().unwrap();
        let netns = NetNs::current().unwrap();
        assert_eq!(send_with(&one, b"hello", Some(netns.as_fd())).unwrap(), 5);
        let mut buffer = [0; 16];
        let passed = receive_with(&other, &mut buffer).unwrap();
        assert_eq!(&buffer[..passed.length], b"hello");
        let received = NetNs::from_descriptor(passed.descriptor.unwrap()).unwrap();
        assert_eq!(received, netns);
        drop(one);
        let end = receive_with(&other, &mut buffer).unwrap();
        assert_eq!((end.length, end.descriptor.is_none()), (0, true));
    }

    #[test]
    fn what_is_no_network_namespace_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        assert_eq!(send_with(&one, b"x", Some(one.as_fd())).unwrap(), 1);
        let passed = receive_with(&other, &mut [0; 16]).unwrap();
        assert!(NetNs::from_descriptor(passed.descriptor.unwrap()).is_err());
        let other_kind = std::fs::File::open("/proc/self/ns/uts").unwrap();
        assert!(NetNs::from_descriptor(other_kind.into()).is_err());
    }
}

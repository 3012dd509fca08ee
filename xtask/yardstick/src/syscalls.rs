//! The system calls that the programs make while they carry traffic, counted as they are made.

use std::{
    net::{SocketAddrV4, TcpListener},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::{self, AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, sockopt::TcpNoDelay},
    },
};

/// An epoll instance, and the count of the system calls made by it and beside it.
#[derive(Debug)]
pub struct Syscalls {
    epoll: Epoll,
    made: u64,
}

// === impl Syscalls ===

impl Syscalls {
    /// Makes the epoll instance.
    pub fn new() -> nix::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            made: 0,
        })
    }

    /// How many were made so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Watches a descriptor for as long as it is open, edge-triggered, each way.
    pub(crate) fn watch(&mut self, fd: impl AsFd, token: u64) -> nix::Result<()> {
        self.made += 1;
        let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(fd, EpollEvent::new(events, token))
    }

    /// Watches what is asked until it is empty: listeners and the parent's pipe.
    pub fn watch_input(&mut self, fd: impl AsFd, token: u64) -> nix::Result<()> {
        self.made += 1;
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
    }

    /// Waits for events; an interruption is none.
    pub fn wait<'a>(&mut self, events: &'a mut [EpollEvent]) -> nix::Result<&'a [EpollEvent]> {
        self.made += 1;
        let count = match self.epoll.wait(events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        Ok(&events[..count])
    }

    /// Takes a connection from the backlog. It inherits TCP_NODELAY; no call makes it non-blocking, as [`Self::receive`]
    /// and [`Self::send`] never block.
    pub(crate) fn accept(&mut self, listener: &TcpListener) -> Option<OwnedFd> {
        self.made += 1;
        // A client which gave up while it waited in the backlog is nobody's concern.
        let (stream, _peer) = listener.accept().ok()?;
        Some(stream.into())
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, to: SocketAddrV4) -> nix::Result<OwnedFd> {
        self.made += 3;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        socket::setsockopt(&socket, TcpNoDelay, &true)?;
        match socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there.
    pub(crate) fn receive(&mut self, from: &OwnedFd, buffer: &mut [u8]) -> nix::Result<usize> {
        self.made += 1;
        socket::recv(from.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)
    }

    /// Writes what there is room for.
    pub(crate) fn send(&mut self, to: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
        self.made += 1;
        socket::send(to.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
    }

    /// Ends one way of a connection; one that is gone has none.
    pub(crate) fn end(&mut self, of: &OwnedFd) {
        self.made += 1;
        let _ = socket::shutdown(of.as_raw_fd(), Shutdown::Write);
    }

    /// Counts descriptors which their owner drops.
    pub(crate) fn closed(&mut self, count: u64) {
        self.made += count;
    }
}

/// A listener whose accepted sockets send small answers at once.
pub(crate) fn listen(at: SocketAddrV4) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    socket::setsockopt(&listener, TcpNoDelay, &true)?;
    // std listens with 128; loads open thousands at once.
    socket::listen(&listener, socket::Backlog::MAXCONN)?;
    Ok(listener)
}

/// The token of the listener; the parent's pipe and connections have others.
pub(crate) const LISTENER: u64 = u64::MAX;

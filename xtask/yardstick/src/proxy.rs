//! The floor: the least that a proxy of two sockets can cost.

use std::{
    net::{SocketAddrV4, TcpListener},
    os::fd::OwnedFd,
};

use nix::{errno::Errno, sys::epoll::EpollEvent, sys::epoll::EpollFlags};

use crate::{
    slab::Slab,
    syscalls::{self, LISTENER, Syscalls},
};

/// Copies each connection of a listener to a connection of its own to one server.
///
/// One buffer serves all; bytes are kept with a connection only while its receiver has no room.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    upstream: SocketAddrV4,
    pairs: Slab<Pair>,
    buffer: Vec<u8>,
}

/// The client's and the server's connection.
#[derive(Debug)]
struct Pair {
    ends: [OwnedFd; 2],
    /// What came from an end and waits for room at the other.
    waiting: [Vec<u8>; 2],
    /// Whether an end has said all.
    ended: [bool; 2],
}

/// Whether a pair goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Over,
}

// === impl Proxy ===

impl Proxy {
    /// Listens, in the network namespace of the calling thread.
    pub fn listen(at: SocketAddrV4, upstream: SocketAddrV4, syscalls: &mut Syscalls) -> anyhow::Result<Self> {
        let listener = syscalls::listen(at)?;
        syscalls.watch_input(&listener, LISTENER)?;
        Ok(Self {
            listener,
            upstream,
            pairs: Slab::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Does what the event asks for.
    pub fn serve(&mut self, event: &EpollEvent, syscalls: &mut Syscalls) {
        if event.data() == LISTENER {
            self.accept(syscalls);
            return;
        }
        let (place, end) = unpack(event.data());
        let Some(pair) = self.pairs.get_mut(place) else { return };
        if pair.serve(end, event.events(), &mut self.buffer, syscalls) == Ok(State::Open) {
            return;
        }
        self.pairs.remove(place);
        syscalls.closed(2);
    }

    fn accept(&mut self, syscalls: &mut Syscalls) {
        let Some(client) = syscalls.accept(&self.listener) else {
            return;
        };
        // Without a server the client is closed by the drop.
        let Ok(server) = syscalls.connect(self.upstream) else {
            return;
        };
        let pair = Pair {
            ends: [client, server],
            waiting: Default::default(),
            ended: [false; 2],
        };
        let place = self.pairs.insert(pair);
        let Some(pair) = self.pairs.get_mut(place) else { return };
        for (end, fd) in pair.ends.iter().enumerate() {
            if syscalls.watch(fd, pack(place, end)).is_err() {
                self.pairs.remove(place);
                return;
            }
        }
    }
}

// === impl Pair ===

impl Pair {
    fn serve(
        &mut self,
        end: usize,
        events: EpollFlags,
        buffer: &mut [u8],
        syscalls: &mut Syscalls,
    ) -> nix::Result<State> {
        if events.contains(EpollFlags::EPOLLERR) {
            return Ok(State::Over);
        }
        let other = 1 - end;
        if events.contains(EpollFlags::EPOLLOUT) && !self.waiting[other].is_empty() {
            self.flush(other, syscalls)?;
            self.copy(other, More::Maybe, buffer, syscalls)?;
        }
        let more = if events.contains(EpollFlags::EPOLLRDHUP) {
            More::Maybe
        } else {
            More::No
        };
        if events.contains(EpollFlags::EPOLLIN) {
            self.copy(end, more, buffer, syscalls)?;
        }
        Ok(if self.ended == [true; 2] && self.waiting.iter().all(Vec::is_empty) {
            State::Over
        } else {
            State::Open
        })
    }

    /// Reads from an end until it is empty or the other has no room.
    ///
    /// A short read means empty, and saves the read which would say so; not when the end of the stream is announced,
    /// as no event follows it.
    fn copy(&mut self, from: usize, more: More, buffer: &mut [u8], syscalls: &mut Syscalls) -> nix::Result<()> {
        let to = 1 - from;
        while self.waiting[from].is_empty() && !self.ended[from] {
            let length = match syscalls.receive(&self.ends[from], buffer) {
                Err(Errno::EAGAIN) => return Ok(()),
                result => result?,
            };
            if length == 0 {
                self.ended[from] = true;
                if !self.ended[to] {
                    syscalls.end(&self.ends[to]);
                }
                return Ok(());
            }
            let sent = send(&self.ends[to], &buffer[..length], syscalls)?;
            self.waiting[from].extend_from_slice(&buffer[sent..length]);
            if length < buffer.len() && more == More::No {
                return Ok(());
            }
        }
        Ok(())
    }

    fn flush(&mut self, from: usize, syscalls: &mut Syscalls) -> nix::Result<()> {
        let sent = send(&self.ends[1 - from], &self.waiting[from], syscalls)?;
        self.waiting[from].drain(..sent);
        if self.waiting[from].is_empty() {
            // An idle connection holds no memory.
            self.waiting[from] = Vec::new();
        }
        Ok(())
    }
}

/// Whether a short read leaves something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    No,
    Maybe,
}

fn send(to: &OwnedFd, bytes: &[u8], syscalls: &mut Syscalls) -> nix::Result<usize> {
    match syscalls.send(to, bytes) {
        // No room, or not connected yet: the next EPOLLOUT tells.
        Err(Errno::EAGAIN | Errno::ENOTCONN) => Ok(0),
        result => result,
    }
}

fn pack(place: usize, end: usize) -> u64 {
    (place as u64) << 1 | end as u64
}

fn unpack(token: u64) -> (usize, usize) {
    ((token >> 1) as usize, (token & 1) as usize)
}

/// What the agent reads at once under bulk.
const BUFFER: usize = 64 * 1024;

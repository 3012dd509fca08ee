//! The HTTP/1.1 server behind every path: 1 KiB for `/`, an endless stream for `/bulk`.

use std::{
    net::{SocketAddrV4, TcpListener},
    os::fd::OwnedFd,
};

use nix::{
    errno::Errno,
    sys::epoll::{EpollEvent, EpollFlags},
};

use crate::{
    slab::Slab,
    syscalls::{self, LISTENER, Syscalls},
};

/// Serves requests without bodies; a request must come in one piece, as wrk sends it.
#[derive(Debug)]
pub struct Origin {
    listener: TcpListener,
    clients: Slab<Client>,
    buffer: Vec<u8>,
    answer: Vec<u8>,
    last_answer: Vec<u8>,
    stream: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// It asked for the stream and takes as much as there is room for.
    streams: bool,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Answer,
    LastAnswer,
    Stream,
}

// === impl Origin ===

impl Origin {
    /// Listens, in the network namespace of the calling thread.
    pub fn listen(at: SocketAddrV4, syscalls: &mut Syscalls) -> anyhow::Result<Self> {
        let listener = syscalls::listen(at)?;
        syscalls.watch_input(&listener, LISTENER)?;
        Ok(Self {
            listener,
            clients: Slab::new(),
            buffer: vec![0; 16 * 1024],
            answer: answer("keep-alive"),
            last_answer: answer("close"),
            stream: vec![b'x'; 256 * 1024],
        })
    }

    /// Does what the event asks for.
    pub fn serve(&mut self, event: &EpollEvent, syscalls: &mut Syscalls) {
        if event.data() == LISTENER {
            self.accept(syscalls);
            return;
        }
        let place = event.data() as usize;
        if self.serve_client(place, event.events(), syscalls).is_none() {
            self.clients.remove(place);
        }
    }

    fn accept(&mut self, syscalls: &mut Syscalls) {
        let Some(socket) = syscalls.accept(&self.listener) else {
            return;
        };
        let place = self.clients.insert(Client { socket, streams: false });
        let watched = self
            .clients
            .get_mut(place)
            .map(|client| syscalls.watch(&client.socket, place as u64));
        if !matches!(watched, Some(Ok(()))) {
            self.clients.remove(place);
        }
    }

    /// Nothing comes back when the connection is over.
    fn serve_client(&mut self, place: usize, events: EpollFlags, syscalls: &mut Syscalls) -> Option<()> {
        let client = self.clients.get_mut(place)?;
        if events.contains(EpollFlags::EPOLLERR) {
            return None;
        }
        if events.contains(EpollFlags::EPOLLIN) {
            let length = match syscalls.receive(&client.socket, &mut self.buffer) {
                Err(Errno::EAGAIN) => return Some(()),
                Err(_) | Ok(0) => return None,
                Ok(length) => length,
            };
            match wish(&self.buffer[..length]) {
                Wish::Answer => syscalls.send(&client.socket, &self.answer).map(drop).ok()?,
                Wish::LastAnswer => {
                    syscalls.send(&client.socket, &self.last_answer).ok()?;
                    return None;
                }
                Wish::Stream => client.streams = true,
            }
        }
        if client.streams {
            while syscalls.send(&client.socket, &self.stream).or_else(no_room).ok()? > 0 {}
        }
        if events.contains(EpollFlags::EPOLLRDHUP) {
            None
        } else {
            Some(())
        }
    }
}

fn no_room(error: Errno) -> nix::Result<usize> {
    if error == Errno::EAGAIN { Ok(0) } else { Err(error) }
}

fn wish(request: &[u8]) -> Wish {
    if request.starts_with(b"GET /bulk") {
        return Wish::Stream;
    }
    // wrk writes the header as the benchmark gives it.
    let closes = request.windows(CLOSE.len()).any(|window| window == CLOSE);
    if closes { Wish::LastAnswer } else { Wish::Answer }
}

fn answer(connection: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\nConnection: {connection}\r\n\r\n");
    head.into_bytes()
        .into_iter()
        .chain(std::iter::repeat_n(b'x', BODY))
        .collect()
}

const CLOSE: &[u8] = b"Connection: close";

/// 1 KiB, as the benchmark says.
const BODY: usize = 1024;

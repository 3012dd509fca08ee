//! Clients: plain blocking sockets with deadlines.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Netns, wait};

/// A connection to be made from inside a namespace.
#[derive(Debug)]
pub struct Dial<'a> {
    netns: &'a Netns,
    to: SocketAddr,
    bind: Option<SocketAddr>,
    device: Option<&'a str>,
    mark: Option<u32>,
    timeout: Duration,
}

/// What tests say over a connection.
pub struct Talk;

// === impl Dial ===

impl<'a> Dial<'a> {
    /// Prepares a connection with [`wait::PATIENCE`] for the handshake, each read and each write.
    pub fn new(netns: &'a Netns, to: SocketAddr) -> Self {
        Self {
            netns,
            to,
            bind: None,
            device: None,
            mark: None,
            timeout: wait::PATIENCE,
        }
    }

    /// Binds to this address first.
    pub fn bind(mut self, from: SocketAddr) -> Self {
        self.bind = Some(from);
        self
    }

    /// Binds to this device first (`SO_BINDTODEVICE`).
    pub fn device(mut self, name: &'a str) -> Self {
        self.device = Some(name);
        self
    }

    /// Sets a mark first (`SO_MARK`).
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Gives up earlier or later.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects.
    pub fn connect(self) -> io::Result<TcpStream> {
        self.netns.run(|| {
            let socket = Socket::new(Domain::for_address(self.to), Type::STREAM, Some(Protocol::TCP))?;
            if let Some(mark) = self.mark {
                socket.set_mark(mark)?;
            }
            socket.bind_device(self.device.map(str::as_bytes))?;
            if let Some(from) = self.bind {
                socket.set_reuse_address(true)?;
                socket.bind(&from.into())?;
            }
            socket.connect_timeout(&self.to.into(), self.timeout)?;
            socket.set_read_timeout(Some(self.timeout))?;
            socket.set_write_timeout(Some(self.timeout))?;
            socket.set_tcp_nodelay(true)?;
            Ok(socket.into())
        })
    }
}

// === impl Talk ===

impl Talk {
    /// The bytes which [`crate::App::Source`] repeats. Its length is odd, so that no buffer's size hides a lost chunk.
    pub const PATTERN: &'static [u8] = &pattern();

    /// Sends and reads as many bytes back.
    pub fn ask(mut stream: impl Read + Write, words: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(words)?;
        let mut answer = vec![0; words.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Reads to the end, as text.
    pub fn hear(mut stream: impl Read) -> io::Result<String> {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Reads one line, without its end.
    pub fn line(mut stream: impl Read) -> io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte)?;
            if byte == *b"\n" {
                return String::from_utf8(line).map_err(io::Error::other);
            }
            line.extend(byte);
        }
    }

    /// Sends that many bytes of the pattern.
    pub fn send_pattern(mut stream: impl Write, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(Self::PATTERN.len());
            stream.write_all(&Self::PATTERN[..chunk])?;
            left -= chunk as u64;
        }
        Ok(())
    }

    /// Reads to the end; the number of bytes, or where the first of them was not the pattern's.
    pub fn check_pattern(mut stream: impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 256 * 1024];
        let mut count: u64 = 0;
        loop {
            let length = match stream.read(&mut buffer) {
                Ok(0) => return Ok(count),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut checked = 0;
            while checked < length {
                let at =
                    usize::try_from((count + checked as u64) % Self::PATTERN.len() as u64).map_err(io::Error::other)?;
                let run = (length - checked).min(Self::PATTERN.len() - at);
                if buffer[checked..checked + run] != Self::PATTERN[at..at + run] {
                    return Err(io::Error::other(format!("wrong bytes after {count}")));
                }
                checked += run;
            }
            count += length as u64;
        }
    }
}

/// A linear congruential sequence: each chunk of it differs from its neighbours.
const fn pattern() -> [u8; 65_521] {
    let mut bytes = [0; 65_521];
    let mut state: u32 = 1;
    let mut index = 0;
    while index < bytes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[index] = state.to_be_bytes()[0];
        index += 1;
    }
    bytes
}

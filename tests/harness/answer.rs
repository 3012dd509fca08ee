//! Requests of HTTP/1.1 as tests write them, and what is answered.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// A response, whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the header, to the empty line.
    pub head: String,
    /// The body, by its `Content-Length`.
    pub body: String,
}

// === impl Answer ===

impl Answer {
    /// Asks a service called `web` for a target, and reads the whole answer; `headers` are lines.
    pub fn to(stream: &TcpStream, target: &str, headers: &str) -> Option<Self> {
        Self::of(stream, "web", target, headers)
    }

    /// Asks a host for a target, and reads the whole answer; `headers` are lines.
    pub fn of(stream: &TcpStream, host: &str, target: &str, headers: &str) -> Option<Self> {
        let mut writer = stream;
        write!(writer, "GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").ok()?;
        let mut reader = BufReader::with_capacity(1, stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let mut answer = Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head,
            body: String::new(),
        };
        let mut body = vec![0; answer.header("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        answer.body = String::from_utf8(body).ok()?;
        Some(answer)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        Some(lines.find(|(it, _)| it.eq_ignore_ascii_case(name))?.1)
    }
}

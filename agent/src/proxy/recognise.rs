//! What the first bytes of an inbound connection are: an agent's, or an application's.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::lease::{Claim, Leases, Tuple};
use crate::{
    net::{self, Spoken},
    tls::{self, Hello},
};

/// What an inbound connection is.
#[derive(Debug)]
pub(super) enum First {
    /// An application's bytes, of which the guard knows those that were read.
    Plaintext(Guard),
    /// A ClientHello of another agent, as far as it was read.
    Mesh(Vec<u8>),
    /// The far end of a lease.
    Lease(Claim),
    /// Nothing: the client has broken off.
    Gone,
}

/// Keeps agents' words from applications: what they say first is held until it cannot be an agent's.
#[derive(Debug, Default)]
pub(super) struct Guard {
    held: Vec<u8>,
}

/// What a guard says of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// More is needed.
    Hold,
    /// These are an application's, all that were held; the guard is done.
    Pass(Vec<u8>),
    /// They are an agent's.
    Refuse,
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Unclear,
    Application,
    Mesh,
}

/// Tells what a connection is.
///
/// Only who may be an agent is waited for: a client that greeted in its SYN, or whose SYN is lost.
pub(super) async fn recognise(stream: &TcpStream, tuple: Tuple, leases: &Leases) -> First {
    let mut guard = Guard::default();
    if let Some(claim) = leases.claim(tuple) {
        return First::Lease(claim);
    }
    let patience = match net::spoken(stream).unwrap_or(Spoken::No) {
        Spoken::Mesh => PATIENCE_WITH_AN_AGENT,
        Spoken::Unknown => PATIENCE,
        Spoken::No => return First::Plaintext(guard),
    };
    match timeout(patience, guard.read(stream)).await {
        // A silent client is an application's, whose server may speak first.
        Err(_elapsed) => First::Plaintext(guard),
        Ok(Ok(Sort::Unclear | Sort::Application)) => First::Plaintext(guard),
        Ok(Ok(Sort::Mesh)) => First::Mesh(guard.held),
        Ok(Err(_error)) => First::Gone,
    }
}

// === impl Guard ===

impl Guard {
    /// Looks at the next bytes; none are to be given where only the held ones are to be judged.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judged {
        self.held.extend_from_slice(bytes);
        match sort(&self.held) {
            Sort::Unclear => Judged::Hold,
            Sort::Application => Judged::Pass(std::mem::take(&mut self.held)),
            Sort::Mesh => Judged::Refuse,
        }
    }

    /// Reads until the bytes are clear, or no more come.
    async fn read(&mut self, stream: &TcpStream) -> io::Result<Sort> {
        loop {
            stream.readable().await?;
            self.held.reserve(CHUNK);
            match stream.try_read_buf(&mut self.held) {
                Ok(0) => return Ok(Sort::Application),
                Ok(_) => match sort(&self.held) {
                    Sort::Unclear => {}
                    sort => return Ok(sort),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The bytes that are held.
    pub(super) fn held_bytes(&self) -> &[u8] {
        &self.held
    }

    /// What is held when nothing more comes.
    pub(super) fn into_held(self) -> Vec<u8> {
        self.held
    }
}

fn sort(bytes: &[u8]) -> Sort {
    match tls::hello(bytes) {
        Hello::Incomplete => Sort::Unclear,
        Hello::Foreign => Sort::Application,
        Hello::Ours => Sort::Mesh,
    }
}

/// How long a client that may be an agent has for its first bytes.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long an agent has: it heard this one, unless a path has taken the answer away, and speaks first. Its node may be
/// busy, and what it says later is refused.
const PATIENCE_WITH_AN_AGENT: Duration = Duration::from_secs(2);
/// How much is read at once: a ClientHello is shorter.
const CHUNK: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_bytes_pass_at_once_and_whole() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x00", b"SSH-2.0-x"] {
            assert_eq!(Guard::default().judge(bytes), Judged::Pass(bytes.to_vec()));
        }
    }

    #[test]
    fn what_may_become_an_agents_word_is_held_and_passes_whole_when_it_does_not() {
        let mut guard = Guard::default();
        assert_eq!(guard.judge(b""), Judged::Hold);
        assert_eq!(guard.judge(b"\x16\x03"), Judged::Hold);
        assert_eq!(guard.judge(b"no TLS"), Judged::Pass(b"\x16\x03no TLS".to_vec()));
        let mut guard = Guard::default();
        assert_eq!(guard.judge(b"\x16"), Judged::Hold);
        assert_eq!(guard.into_held(), b"\x16");
    }
}

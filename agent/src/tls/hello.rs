//! What the first bytes of a connection are: the TLS ClientHello of another agent, one with a protocol of ours in ALPN, or
//! a stranger's for some server.
//!
//! A peer's bytes: everything is looked at with bounds, and nothing is believed.

mod name;

pub use self::name::{ServerName, server_name};
use super::Protocol;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// It takes more bytes to tell.
    Incomplete,
    /// Not TLS, or TLS without a protocol of ours.
    Foreign,
    /// The ClientHello of another agent.
    Ours,
}

/// Why reading stopped before what is looked for was seen.
enum Stop {
    /// The bytes are at their end, and what is looked for may come.
    Short,
    /// It is no ClientHello, or has not what is looked for.
    Foreign,
}

/// What a missing byte means: there may be more to come, or a length lies.
type Missing = fn() -> Stop;

/// Reads fields from the front.
struct Fields<'a> {
    bytes: &'a [u8],
    missing: Missing,
}

/// Tells what the first bytes of a connection are.
pub fn hello(first: &[u8]) -> Hello {
    match of_extension(first, EXTENSION_ALPN, protocols) {
        Ok(()) => Hello::Ours,
        Err(Stop::Short) => Hello::Incomplete,
        Err(Stop::Foreign) => Hello::Foreign,
    }
}

/// Reads the body of an extension of the ClientHello that the bytes begin.
fn of_extension<T>(first: &[u8], kind: [u8; 2], read: impl FnOnce(&[u8]) -> Result<T, Stop>) -> Result<T, Stop> {
    let (message, missing) = handshake_bytes(first)?;
    let message = Fields {
        bytes: &message,
        missing,
    };
    read(extension(message, kind)?)
}

/// The handshake message that the records begin, as far as it is there, and what a missing byte of it means.
///
/// A hello may be cut into several records (RFC 8446, 5.1); an agent's never is, a stranger's may be. Where what follows
/// is no record, the message is over: what was read of it before may have told enough.
fn handshake_bytes(first: &[u8]) -> Result<(Vec<u8>, Missing), Stop> {
    let mut message = Vec::new();
    let mut rest = first;
    loop {
        let (Some(CONTENT_HANDSHAKE) | None) = rest.first() else {
            return Ok((message, || Stop::Foreign));
        };
        let (Some(VERSION_MAJOR) | None) = rest.get(1) else {
            return Ok((message, || Stop::Foreign));
        };
        let (Some(0..=VERSION_MINOR_MOST) | None) = rest.get(2) else {
            return Ok((message, || Stop::Foreign));
        };
        let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) else {
            return Ok((message, || Stop::Short));
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 || length > LARGEST_RECORD {
            return Ok((message, || Stop::Foreign));
        }
        message.extend_from_slice(&body[..length.min(body.len())]);
        let known = message.get(..4).map(|head| message_length(head) + 4);
        match known {
            Some(whole) if whole > LARGEST_HELLO => return Err(Stop::Foreign),
            Some(whole) if message.len() >= whole => {
                message.truncate(whole);
                return Ok((message, || Stop::Foreign));
            }
            Some(_) | None => {}
        }
        let Some(next) = body.get(length..) else {
            return Ok((message, || Stop::Short));
        };
        rest = next;
    }
}

/// Reads a ClientHello up to the body of an extension.
fn extension(mut message: Fields<'_>, wanted: [u8; 2]) -> Result<&[u8], Stop> {
    if message.take(1)? != [CLIENT_HELLO] {
        return Err(Stop::Foreign);
    }
    message.take(3)?;
    let _version_and_random = message.take(2 + 32)?;
    let _session_id = message.vector(1)?;
    let _cipher_suites = message.vector(2)?;
    let _compression = message.vector(1)?;
    let _extensions_length = message.take(2)?;
    loop {
        // The message ends with the last extension: the end of it without the wanted one is a foreign hello.
        let kind = message.take(2)?;
        let is_wanted = kind == wanted;
        let body = message.vector(2)?;
        if is_wanted {
            return Ok(body);
        }
    }
}

/// Looks for a protocol of ours in the body of the extension.
fn protocols(body: &[u8]) -> Result<(), Stop> {
    let mut names = Fields::list(body)?;
    loop {
        if Protocol::of_alpn(names.vector(1)?).is_some() {
            return Ok(());
        }
    }
}

fn message_length(head: &[u8]) -> usize {
    head[1..4]
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte))
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The list that the body of an extension is. All of it is there: a byte that is missing is a length that lies.
    fn list(body: &'a [u8]) -> Result<Self, Stop> {
        let mut body = Self {
            bytes: body,
            missing: || Stop::Foreign,
        };
        Ok(Self {
            bytes: body.vector(2)?,
            missing: body.missing,
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (field, rest) = self.bytes.split_at_checked(length).ok_or_else(self.missing)?;
        self.bytes = rest;
        Ok(field)
    }

    /// Takes a field whose length stands before it, in so many bytes.
    fn vector(&mut self, length_bytes: usize) -> Result<&'a [u8], Stop> {
        let length = self.take(length_bytes)?;
        self.take(length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }
}

const CONTENT_HANDSHAKE: &u8 = &22;
const VERSION_MAJOR: &u8 = &3;
const VERSION_MINOR_MOST: u8 = 4;
const RECORD_HEADER: usize = 5;
const LARGEST_RECORD: usize = 16 * 1024;
/// An agent's hello is a few hundred bytes, with a ticket at most some kilobytes.
const LARGEST_HELLO: usize = 16 * 1024;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_ALPN: [u8; 2] = [0, 16];

#[cfg(test)]
mod tests;

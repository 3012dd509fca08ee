//! The records of an established connection: bytes in, bytes out, no I/O, and nothing held between.
//!
//! rustls shakes hands and then gives the keys away: its own record layer copies what it decrypts, and its unbuffered
//! one panics when a peer cuts a message over two records and we write between them (0.23.46).

use std::{fmt, mem};

use aws_lc_rs::error::Unspecified;
use rustls::ExtractedSecrets;

use super::{
    BadRecord, TlsError,
    keys::Keys,
    protection::{Content, HEADER, Protection, Record},
};

/// The records of one connection.
pub struct Records {
    reading: Protection,
    writing: Protection,
    /// Derives the next keys, and takes tickets.
    keys: Keys,
    /// What TLS itself has to say and the caller has not fetched yet.
    outgoing: Vec<u8>,
    /// The beginning of a handshake message whose end is in a later record.
    partial: Vec<u8>,
    /// Whether a record was refused: nothing after it is read.
    failed: bool,
}

/// What [`Records::open`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How many bytes are done with; the rest begins a record that is not whole yet.
    pub used: usize,
    /// Whether the peer has said that it sends no more.
    pub ended: bool,
}

/// What a record that is no data has asked for.
enum Said {
    Nothing,
    End,
}

// === impl Records ===

impl Records {
    pub(super) fn new(secrets: ExtractedSecrets, keys: Keys) -> Result<Self, TlsError> {
        Ok(Self {
            reading: Protection::new(secrets.rx)?,
            writing: Protection::new(secrets.tx)?,
            keys,
            outgoing: Vec::new(),
            partial: Vec::new(),
            failed: false,
        })
    }

    /// Takes whole records from the beginning of `incoming`, decrypts them there, and shows each plaintext in its order.
    ///
    /// What TLS answers is to be fetched with [`Records::pending`], after an error too: it may be the alert that tells
    /// the peer. After the peer's end no byte is looked at.
    pub fn open(&mut self, incoming: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<Opened, TlsError> {
        let mut used = 0;
        loop {
            match self.open_first(&mut incoming[used..], &mut each) {
                Ok(None) => return Ok(Opened { used, ended: false }),
                Ok(Some((length, Said::Nothing))) => used += length,
                Ok(Some((_, Said::End))) => {
                    return Ok(Opened {
                        used: incoming.len(),
                        ended: true,
                    });
                }
                Err(error) => {
                    self.alert(&error);
                    return Err(error);
                }
            }
        }
    }

    /// Appends records that carry `plain`, as few as it takes.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.pending(out);
        for chunk in plain.chunks(LARGEST_PLAIN) {
            if self.writing.used() >= self.keys.record_limit() {
                self.renew_writing(UPDATE_NOT_REQUESTED, out)?;
            }
            self.writing.seal(Content::Data, chunk, out)?;
        }
        Ok(())
    }

    /// Appends what TLS itself has to say: answers to key updates, alerts.
    pub fn pending(&mut self, out: &mut Vec<u8>) {
        if !self.outgoing.is_empty() {
            // Given back whole: an idle connection holds no buffer.
            out.append(&mut mem::take(&mut self.outgoing));
        }
    }

    /// Appends the word that nothing more follows.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.pending(out);
        if let Err(Unspecified) = self.writing.seal(Content::Alert, &[WARNING, CLOSE_NOTIFY], out) {
            tracing::debug!("A connection is closed without a close_notify");
        }
    }

    /// Opens the first record, and says how long it was.
    fn open_first(
        &mut self,
        incoming: &mut [u8],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<Option<(usize, Said)>, TlsError> {
        if self.failed {
            return Err(BadRecord::Unexpected.into());
        }
        let Some(record) = Record::first(incoming)? else {
            return Ok(None);
        };
        let length = record.length();
        let (content, plain) = self.reading.open(record)?;
        // Nothing may stand between the parts of a handshake message (RFC 8446, 5.1).
        if !self.partial.is_empty() && content != Content::Handshake {
            return Err(BadRecord::Unexpected.into());
        }
        let said = match content {
            Content::Data => {
                if !plain.is_empty() {
                    each(plain);
                }
                Said::Nothing
            }
            Content::Alert => alerted(plain)?,
            Content::Handshake => {
                self.handshake(plain)?;
                Said::Nothing
            }
        };
        Ok(Some((length, said)))
    }

    /// Takes what a peer may still say of the handshake once it is over: tickets and new keys.
    fn handshake(&mut self, plain: &[u8]) -> Result<(), TlsError> {
        let mut bytes = mem::take(&mut self.partial);
        bytes.extend_from_slice(plain);
        let mut rest = &bytes[..];
        while let Some((&[kind, high, middle, low], body)) = rest.split_first_chunk() {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > LARGEST_MESSAGE {
                return Err(BadRecord::Unreadable.into());
            }
            let Some((message, after)) = body.split_at_checked(length) else {
                break;
            };
            rest = after;
            match kind {
                NEW_SESSION_TICKET => self.keys.take_ticket(message)?,
                // Its records end with it: what follows is under the new key.
                KEY_UPDATE if rest.is_empty() => self.renew_reading(message)?,
                _ => return Err(BadRecord::Unexpected.into()),
            }
        }
        self.partial = rest.to_vec();
        Ok(())
    }

    fn renew_reading(&mut self, message: &[u8]) -> Result<(), TlsError> {
        self.reading = Protection::new(self.keys.next_reading()?)?;
        match message {
            [UPDATE_NOT_REQUESTED] => Ok(()),
            // One answer serves all requests that come before it is sent.
            [UPDATE_REQUESTED] if !self.outgoing.is_empty() => Ok(()),
            [UPDATE_REQUESTED] => {
                let mut answer = Vec::new();
                self.renew_writing(UPDATE_NOT_REQUESTED, &mut answer)?;
                self.outgoing = answer;
                Ok(())
            }
            _ => Err(BadRecord::Unreadable.into()),
        }
    }

    /// Goes over to the next key, and asks the peer to do so too or not.
    pub(super) fn renew_writing(&mut self, request: u8, out: &mut Vec<u8>) -> Result<(), TlsError> {
        let update = [KEY_UPDATE, 0, 0, 1, request];
        self.writing.seal(Content::Handshake, &update, out)?;
        self.writing = Protection::new(self.keys.next_writing()?)?;
        Ok(())
    }

    /// Says what only a peer that keeps no rules would say.
    #[cfg(test)]
    pub(super) fn say(&mut self, content: Content, plain: &[u8], out: &mut Vec<u8>) {
        self.writing.seal(content, plain, out).expect("sealed");
    }

    /// Makes the alert that tells the peer what was wrong; nothing more is read.
    fn alert(&mut self, error: &TlsError) {
        let first = !mem::replace(&mut self.failed, true);
        let Some(code) = error.alert().filter(|_| first) else {
            return;
        };
        if let Err(Unspecified) = self.writing.seal(Content::Alert, &[FATAL, code], &mut self.outgoing) {
            tracing::debug!("A connection ends without an alert");
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

fn alerted(plain: &[u8]) -> Result<Said, TlsError> {
    match *plain {
        [_level, CLOSE_NOTIFY] => Ok(Said::End),
        [_level, USER_CANCELED] => Ok(Said::Nothing),
        [_level, code] => Err(TlsError::alerted(code)),
        _ => Err(BadRecord::Unexpected.into()),
    }
}

/// The most bytes that one record carries.
pub const LARGEST_PLAIN: usize = 16 * 1024;

/// What a record has beside its bytes: the header, the inner type and the tag.
pub const RECORD_OVERHEAD: usize = HEADER + 1 + 16;

/// A ticket with a chain of certificates in it takes a few kilobytes.
const LARGEST_MESSAGE: usize = 64 * 1024;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

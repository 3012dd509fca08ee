//! One direction's protection of records (RFC 8446, 5.2): a key, and the number of the next record.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
};
use rustls::ConnectionTrafficSecrets;

use super::{LARGEST_PLAIN, RECORD_OVERHEAD};

/// Protects the records of one direction.
pub(super) struct Protection {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

/// One whole record.
pub(super) struct Record<'a> {
    header: [u8; HEADER],
    body: &'a mut [u8],
}

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It is not one of encrypted data.
    #[error("a record is not encrypted")]
    Plain,
    /// It is longer than records may be.
    #[error("a record is too long")]
    TooLong,
    /// It was not made with the key of this connection, or not as the next one.
    #[error("a record cannot be decrypted")]
    Undecryptable,
    /// What it carries is none of the kinds that may come.
    #[error("a record carries what may not come here")]
    Unexpected,
    /// A handshake message in it is not one.
    #[error("a handshake message cannot be read")]
    Unreadable,
}

// === impl Protection ===

impl Protection {
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Unspecified> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            // rustls' own enum: the provider has no other suites.
            _ => return Err(Unspecified),
        };
        Ok(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref())?),
            iv: iv.as_ref().try_into().map_err(|_length| Unspecified)?,
            sequence,
        })
    }

    /// How many records the key has protected.
    pub(super) fn used(&self) -> u64 {
        self.sequence
    }

    /// Appends one record.
    pub(super) fn seal(&mut self, content: Content, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Unspecified> {
        out.reserve(plain.len() + RECORD_OVERHEAD);
        let length = plain.len() + RECORD_OVERHEAD - HEADER;
        let header = header(length).ok_or(Unspecified)?;
        out.extend_from_slice(&header);
        let body = out.len();
        out.extend_from_slice(plain);
        out.push(content.code());
        let nonce = self.next_nonce();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[body..])?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Decrypts a record's body where it lies.
    pub(super) fn open<'a>(&mut self, record: Record<'a>) -> Result<(Content, &'a [u8]), BadRecord> {
        let Record { header, body } = record;
        let nonce = self.next_nonce();
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(header), body)
            .map_err(|Unspecified| BadRecord::Undecryptable)?;
        // Zeros behind the kind are padding.
        let kind = inner.iter().rposition(|byte| *byte != 0).ok_or(BadRecord::Unexpected)?;
        let (plain, rest) = inner.split_at(kind);
        if plain.len() > LARGEST_PLAIN {
            return Err(BadRecord::TooLong);
        }
        Ok((Content::of_code(rest[0]).ok_or(BadRecord::Unexpected)?, plain))
    }

    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        // 2^64 records take longer than any certificate lives, and keys are replaced long before.
        self.sequence = self.sequence.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }
}

// === impl Content ===

impl Content {
    fn code(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => OUTER,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::Data]
            .into_iter()
            .find(|content| content.code() == code)
    }
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Cuts the first record off; none where it is not whole yet.
    pub(super) fn first(bytes: &'a mut [u8]) -> Result<Option<Self>, BadRecord> {
        let Some((header, rest)) = bytes.split_first_chunk_mut::<HEADER>() else {
            return Ok(None);
        };
        let header = *header;
        if header[0] != OUTER {
            return Err(BadRecord::Plain);
        }
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length > LARGEST_BODY {
            return Err(BadRecord::TooLong);
        }
        Ok(rest.get_mut(..length).map(|body| Self { header, body }))
    }

    /// How many bytes it takes.
    pub(super) fn length(&self) -> usize {
        HEADER + self.body.len()
    }
}

fn header(length: usize) -> Option<[u8; HEADER]> {
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    Some([OUTER, 3, 3, high, low])
}

/// The length of a record's header.
pub(super) const HEADER: usize = 5;
/// Every encrypted record says that it carries data.
const OUTER: u8 = 23;
/// A peer may expand a record by so much (RFC 8446, 5.2).
const LARGEST_BODY: usize = LARGEST_PLAIN + 256;

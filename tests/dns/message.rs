//! As much of DNS (RFC 1035) as the tests ask and read.

use std::net::IpAddr;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
}

/// What an answer says.
#[derive(Debug)]
pub(super) struct Answer {
    /// RCODE.
    pub(super) code: u8,
    /// The addresses of all A and AAAA records.
    pub(super) addresses: Vec<IpAddr>,
}

/// NXDOMAIN.
pub(super) const NO_SUCH_NAME: u8 = 3;

// === impl Kind ===

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
        let (questions, answers) = (number(4)?, number(6)?);
        let mut at = HEAD;
        for _ in 0..questions {
            at = skip_name(message, at)? + 4;
        }
        let mut addresses = Vec::new();
        for _ in 0..answers {
            at = skip_name(message, at)?;
            let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
            let data = message.get(at + 10..at + 10 + length)?;
            match kind {
                1 => addresses.push(<[u8; 4]>::try_from(data).ok()?.into()),
                28 => addresses.push(<[u8; 16]>::try_from(data).ok()?.into()),
                _ => {}
            }
            at += 10 + length;
        }
        Some(Self {
            code: message.get(3)? & 0x0f,
            addresses,
        })
    }
}

/// A question with recursion desired.
pub(super) fn question(name: &str, kind: Kind) -> Vec<u8> {
    let mut message = vec![0x77, 0x65, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label is short"));
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.number().to_be_bytes());
    message.extend([0, 1]);
    message
}

/// Where the name that begins here ends; a pointer ends it.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

const HEAD: usize = 12;

//! What the first message of each side of a TLS handshake says in the clear (RFC 8446, 4.1.2 and 4.1.3).

/// Which version of TLS a message asks for, or settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A ClientHello: whether it offers TLS 1.3, and nothing before.
    Offers {
        /// Whether 1.3 is all that it offers.
        only_tls13: bool,
    },
    /// A ServerHello: the version that it selects.
    Selects {
        /// As in the extension `supported_versions`.
        version: u16,
    },
}

// === impl Greeting ===

impl Greeting {
    /// Reads it from the beginning of a TCP payload.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let [22, 3, _, _, _, kind @ (1 | 2), _, _, _, body @ ..] = payload else {
            return None;
        };
        // Version and random.
        let rest = behind(body.get(34..)?, 1)?;
        if *kind == 2 {
            let supported = extension(rest.get(3..)?)?;
            let version = u16::from_be_bytes(supported.try_into().ok()?);
            return Some(Self::Selects { version });
        }
        let rest = behind(behind(rest, 2)?, 1)?;
        let offered = extension(rest)?.get(1..)?;
        Some(Self::Offers {
            only_tls13: offered == TLS13,
        })
    }
}

/// What follows a field that begins with its own length.
fn behind(bytes: &[u8], length: usize) -> Option<&[u8]> {
    let (size, rest) = bytes.split_at_checked(length)?;
    rest.get(size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte))..)
}

/// The content of `supported_versions` among the extensions.
fn extension(extensions: &[u8]) -> Option<&[u8]> {
    let mut rest = extensions.get(2..)?;
    loop {
        let [kind, other, high, low, ..] = *rest else {
            return None;
        };
        let content = rest.get(4..)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if u16::from_be_bytes([kind, other]) == SUPPORTED_VERSIONS {
            return content.get(..length);
        }
        rest = content.get(length..)?;
    }
}

const SUPPORTED_VERSIONS: u16 = 43;
const TLS13: [u8; 2] = [3, 4];

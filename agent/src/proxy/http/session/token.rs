//! The token of a session: its endpoint and its times.

use std::net::{IpAddr, SocketAddr};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// What a client keeps of a session. Times are seconds of the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::http) struct Token {
    pub(super) endpoint: SocketAddr,
    pub(super) begun: u64,
    pub(super) used: u64,
}

// === impl Token ===

impl Token {
    pub(in crate::proxy::http) fn write(self) -> String {
        let Self { endpoint, begun, used } = self;
        let (form, ip) = match endpoint.ip() {
            IpAddr::V4(ip) => (WITH_IPV4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (WITH_IPV6, ip.octets().to_vec()),
        };
        let mut bytes = vec![form];
        bytes.extend(begun.to_be_bytes());
        bytes.extend(used.to_be_bytes());
        bytes.extend(endpoint.port().to_be_bytes());
        bytes.extend(ip);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// None where it is no agent's.
    pub(in crate::proxy::http) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (form, rest) = bytes.split_first()?;
        let (begun, rest) = rest.split_first_chunk()?;
        let (used, rest) = rest.split_first_chunk()?;
        let (port, ip) = rest.split_first_chunk()?;
        let ip = match *form {
            WITH_IPV4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
            WITH_IPV6 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
            _ => return None,
        };
        Some(Self {
            endpoint: SocketAddr::new(ip, u16::from_be_bytes(*port)),
            begun: u64::from_be_bytes(*begun),
            used: u64::from_be_bytes(*used),
        })
    }
}

/// The forms of tokens.
const WITH_IPV4: u8 = 4;
const WITH_IPV6: u8 = 6;
/// The longest token, in characters: that of an IPv6 address, 35 bytes.
pub(super) const LONGEST: usize = 47;

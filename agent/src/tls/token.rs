//! What an agent outside Kubernetes joins with: who it is, and by which root it knows the CA.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    error::Unspecified,
    rand,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// The SHA-256 of a certificate (DER).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// A token by which the agent of one node joins.
///
/// Written as `weft1.` and base64url of: length of the node's name (one byte), the name, the end as seconds since 1970
/// (eight bytes, big-endian), the SHA-256 of the root of the CA's own TLS certificate, and 32 random bytes. Who holds it
/// is that node's agent: it is as secret as a key.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The node.
    pub node: Arc<str>,
    /// When it ends.
    pub expires: SystemTime,
    /// The root of the CA's own TLS certificate.
    pub root: Fingerprint,
    secret: [u8; 32],
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It does not begin as one, or is cut.
    #[error("it is neither what `weft ca token` has printed nor the token of a service account")]
    Malformed,
    /// Its end has come.
    #[error("it has expired: `weft ca token` makes a new one")]
    Expired,
    /// It is for another node.
    #[error("it is for another node")]
    OtherNode,
    /// A node's name is too long.
    #[error("the node's name is too long")]
    LongName,
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

// === impl JoinToken ===

impl JoinToken {
    /// How a token begins, with the version of its form.
    pub(super) const PREFIX: &str = "weft1.";

    /// Draws a token for a node.
    pub fn draw(node: &str, root: Fingerprint, expires: SystemTime) -> Result<Self, InvalidToken> {
        if u8::try_from(node.len()).is_err() {
            return Err(InvalidToken::LongName);
        }
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|Unspecified| InvalidToken::Random)?;
        Ok(Self {
            node: node.into(),
            expires: UNIX_EPOCH + Duration::from_secs(seconds(expires)),
            root,
            secret,
        })
    }

    /// Whether it may be used by the agent of this node at this moment.
    pub fn check(&self, node: &str) -> Result<(), InvalidToken> {
        if self.expires <= SystemTime::now() {
            return Err(InvalidToken::Expired);
        }
        if &*self.node != node {
            return Err(InvalidToken::OtherNode);
        }
        Ok(())
    }

    /// What the CA keeps of it: nobody can make the token from it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.bytes())
    }

    /// The text that the agent is given. Not `Display`: nothing must print it by chance.
    pub fn reveal(&self) -> String {
        format!("{}{}", Self::PREFIX, BASE64_URL_SAFE_NO_PAD.encode(self.bytes()))
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u8::try_from(self.node.len()).unwrap_or(u8::MAX);
        [
            &[length][..],
            self.node.as_bytes(),
            &seconds(self.expires).to_be_bytes(),
            &self.root.0,
            &self.secret,
        ]
        .concat()
    }
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let malformed = InvalidToken::Malformed;
        let encoded = text.trim().strip_prefix(Self::PREFIX).ok_or(malformed)?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_not_base64| malformed)?;
        let (length, rest) = bytes.split_first().ok_or(malformed)?;
        let (node, rest) = rest.split_at_checked(usize::from(*length)).ok_or(malformed)?;
        let (expires, rest) = rest.split_first_chunk::<8>().ok_or(malformed)?;
        let (root, rest) = rest.split_first_chunk::<32>().ok_or(malformed)?;
        let secret = rest.try_into().map_err(|_length| malformed)?;
        let since = Duration::from_secs(u64::from_be_bytes(*expires));
        Ok(Self {
            node: std::str::from_utf8(node).map_err(|_not_text| malformed)?.into(),
            expires: UNIX_EPOCH.checked_add(since).ok_or(malformed)?,
            root: Fingerprint(*root),
            secret,
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = digest(&SHA256, bytes);
        Self(digest.as_ref().try_into().expect("a SHA-256 has 32 bytes"))
    }

    /// In hexadecimal.
    pub fn hex(&self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_not_base64| InvalidToken::Malformed)?;
        bytes.try_into().map(Self).map_err(|_length| InvalidToken::Malformed)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_token(life: Duration) -> JoinToken {
        let root = Fingerprint::of(b"root");
        JoinToken::draw("node-1", root, SystemTime::now() + life).expect("a token")
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let token = mk_token(Duration::from_secs(60));
        let read: JoinToken = format!("{}\n", token.reveal()).parse().expect("a token");
        assert!(read == token);
        assert_eq!(read.fingerprint(), token.fingerprint());
        assert_eq!(read.check("node-1"), Ok(()));
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn a_token_of_another_node_or_of_yesterday_is_refused() {
        assert_eq!(
            mk_token(Duration::from_secs(60)).check("node-2"),
            Err(InvalidToken::OtherNode)
        );
        assert_eq!(mk_token(Duration::ZERO).check("node-1"), Err(InvalidToken::Expired));
    }

    #[test]
    fn whatever_is_cut_or_foreign_is_no_token() {
        let text = mk_token(Duration::from_secs(60)).reveal();
        for length in 0..text.len() {
            assert!(text[..length].parse::<JoinToken>().is_err(), "{length} bytes");
        }
        for text in ["", "weft1.", "weft2.AAAA", "weft1.!!!", "weft1./w", "weft1._w"] {
            assert!(text.parse::<JoinToken>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_token_is_its_own() {
        let [one, other] = [(), ()].map(|()| mk_token(Duration::from_secs(60)).fingerprint());
        assert_ne!(one, other);
    }
}

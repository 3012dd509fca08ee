//! By what an agent proves to a CA whose agent it is.

use std::{fmt, sync::Arc};

use super::super::{Fingerprint, InvalidToken, JoinToken};

/// By what an agent is known.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A token that `weft ca token` has made for its node.
    Join(JoinToken),
    /// The service account token of the agent's own pod, and the node that it says to be on.
    Pod {
        /// The token.
        token: PodToken,
        /// The node.
        node: Arc<str>,
    },
}

/// A service account token of a pod, as the kubelet puts it into a file. As secret as a key while it lives.
#[derive(Clone, PartialEq, Eq)]
pub struct PodToken(Arc<str>);

// === impl Proof ===

impl Proof {
    /// Takes what stands behind `Bearer`, and the node that is named beside it.
    pub(super) fn read(bearer: &str, node: Option<&str>) -> Result<Self, InvalidToken> {
        if bearer.starts_with(JoinToken::PREFIX) {
            return Ok(Self::Join(bearer.parse()?));
        }
        Ok(Self::Pod {
            token: PodToken::read(bearer)?,
            node: node.ok_or(InvalidToken::Malformed)?.into(),
        })
    }

    /// The node whose agent it is to be.
    pub fn node(&self) -> &Arc<str> {
        match self {
            Self::Join(token) => &token.node,
            Self::Pod { token: _, node } => node,
        }
    }

    /// What stands behind `Bearer`.
    pub(super) fn reveal(&self) -> String {
        match self {
            Self::Join(token) => token.reveal(),
            Self::Pod { token, node: _ } => token.reveal().to_owned(),
        }
    }
}

// === impl PodToken ===

impl PodToken {
    /// Takes the text of a token's file. Whether it is good, only the API server can say.
    pub fn read(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        // A JWT: three parts of base64url (RFC 7519).
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let parts = text.split('.');
        let is_token = text.len() <= LONGEST
            && parts.clone().count() == 3
            && parts
                .into_iter()
                .all(|part| !part.is_empty() && part.bytes().all(is_letter));
        if is_token {
            Ok(Self(text.into()))
        } else {
            Err(InvalidToken::Malformed)
        }
    }

    /// The text. Not `Display`: nothing must print it by chance.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What it can be known again by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.0.as_bytes())
    }
}

impl fmt::Debug for PodToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PodToken")
    }
}

/// Longer tokens are no service account's.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_join_token_and_a_pods_token_are_told_apart() {
        let root = Fingerprint::of(b"root");
        let join = JoinToken::draw("node-1", root, SystemTime::now() + Duration::from_secs(60)).expect("a token");
        let read = Proof::read(&join.reveal(), None).expect("a proof");
        assert!(matches!(&read, Proof::Join(token) if token == &join));
        assert_eq!(read.reveal(), join.reveal());
        let read = Proof::read("aa.b-b.c_c", Some("node-1")).expect("a proof");
        assert_eq!((&**read.node(), read.reveal().as_str()), ("node-1", "aa.b-b.c_c"));
        assert!(!format!("{read:?}").contains("aa.b-b"), "nothing prints it");
    }

    #[test]
    fn whatever_is_no_token_or_names_no_node_is_refused() {
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c.d",
            "a..c",
            "a.b.c\n.d",
            "a.b.ü",
            &"a.".repeat(9000),
        ] {
            assert!(Proof::read(text, Some("node-1")).is_err(), "{text}");
        }
        assert!(Proof::read("a.b.c", None).is_err());
    }
}

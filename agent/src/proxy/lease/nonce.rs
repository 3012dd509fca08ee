//! What the far end of a lease says.

use crate::tls;

/// A number that nobody can guess, used once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Nonce(pub(super) [u8; 32]);

// === impl Nonce ===

impl Nonce {
    /// Draws one.
    pub(super) fn random() -> Self {
        Self(tls::unguessable())
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce")
    }
}

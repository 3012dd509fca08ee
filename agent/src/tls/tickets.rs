//! The tickets by which a client comes back without a full handshake.
//!
//! Their keys belong to one certificate of one pod: a renewal, a change of the roots or of the deny-list makes new ones,
//! and what was issued before is worth nothing.

use std::{sync::Arc, time::SystemTime};

use rustls::{crypto::aws_lc_rs::Ticketer, server::ProducesTickets};

use super::TlsCause;

/// Makes and reads the tickets of one certificate.
#[derive(Debug)]
pub(super) struct Tickets {
    sealed: Arc<dyn ProducesTickets>,
    /// When the certificate ends, and with it the last ticket.
    not_after: SystemTime,
}

// === impl Tickets ===

impl Tickets {
    /// Draws keys.
    pub(super) fn new(not_after: SystemTime) -> Result<Self, TlsCause> {
        Ok(Self {
            sealed: Ticketer::new().map_err(TlsCause)?,
            not_after,
        })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let left = self.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        let left = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        self.sealed.lifetime().min(left)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.sealed.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.sealed.decrypt(cipher)
    }
}

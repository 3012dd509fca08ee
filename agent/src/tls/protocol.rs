//! What a connection between two agents carries, as ALPN names it.

/// What a connection between two agents carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `weft-tcp/1`: streams of bytes, one after the other.
    Tcp,
}

// === impl Protocol ===

impl Protocol {
    /// All of them, in the order in which a server prefers them.
    pub(super) const ALL: [Self; 1] = [Self::Tcp];

    /// The protocol's name in ALPN.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Tcp => b"weft-tcp/1",
        }
    }

    /// The protocol of a name.
    pub(super) fn of_alpn(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == name)
    }
}

//! What a connection between two agents carries, as ALPN names it.

/// What a connection between two agents carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `weft-tcp/1`: streams of bytes, one after the other.
    Tcp,
    /// `weft-h1/1`: HTTP/1.1, one request after the other.
    Http1,
    /// `weft-h2/1`: HTTP/2, requests side by side.
    Http2,
}

// === impl Protocol ===

impl Protocol {
    /// All of them, in the order in which a server prefers them.
    pub(super) const ALL: [Self; 3] = [Self::Tcp, Self::Http1, Self::Http2];

    /// The protocol's name in ALPN.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Tcp => b"weft-tcp/1",
            Self::Http1 => b"weft-h1/1",
            Self::Http2 => b"weft-h2/1",
        }
    }

    /// The protocol of a name.
    pub(super) fn of_alpn(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == name)
    }
}

//! What a way carries: bytes of which the proxies understand nothing, or requests that they route one by one.

/// How much of the traffic the proxies understand; each has a server of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Bytes,
    Http1,
    Http2,
}

// === impl Layer ===

impl Layer {
    pub(super) const ALL: [Self; 3] = [Self::Bytes, Self::Http1, Self::Http2];

    /// Where its server listens.
    pub(super) fn port(self) -> u16 {
        self.beside(8080)
    }

    /// The name of its port: Weft learns of it what the port speaks, as Istio does.
    pub(super) fn port_name(self) -> &'static str {
        match self {
            Self::Bytes => "tcp",
            Self::Http1 => "http",
            Self::Http2 => "http2",
        }
    }

    /// The port of this layer in a row that begins at `first`.
    pub(super) fn beside(self, first: u16) -> u16 {
        first
            + match self {
                Self::Bytes => 0,
                Self::Http1 => 10,
                Self::Http2 => 20,
            }
    }
}

//! What rustls keeps of a connection after its handshake: how its next keys are derived, and where its tickets go.

use rustls::{
    ConnectionTrafficSecrets, Error,
    client::{ClientConnectionData, UnbufferedClientConnection},
    kernel::KernelConnection,
    server::{ServerConnectionData, UnbufferedServerConnection},
};

use super::{BadRecord, Records, TlsError};

/// The secrets of one end.
pub(super) enum Keys {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

/// A key, with the number of the first record under it.
type Next = (u64, ConnectionTrafficSecrets);

// === impl Keys ===

impl Keys {
    /// Takes the keys of a client whose handshake is done.
    pub(super) fn of_client(client: UnbufferedClientConnection) -> Result<Records, TlsError> {
        let (secrets, rest) = client.dangerous_into_kernel_connection()?;
        Records::new(secrets, Self::Client(Box::new(rest)))
    }

    /// Takes the keys of a server whose handshake is done.
    pub(super) fn of_server(server: UnbufferedServerConnection) -> Result<Records, TlsError> {
        let (secrets, rest) = server.dangerous_into_kernel_connection()?;
        Records::new(secrets, Self::Server(Box::new(rest)))
    }

    pub(super) fn next_reading(&mut self) -> Result<Next, Error> {
        match self {
            Self::Client(client) => client.update_rx_secret(),
            Self::Server(server) => server.update_rx_secret(),
        }
    }

    pub(super) fn next_writing(&mut self) -> Result<Next, Error> {
        match self {
            Self::Client(client) => client.update_tx_secret(),
            Self::Server(server) => server.update_tx_secret(),
        }
    }

    /// Keeps a ticket for the next connection to this server.
    pub(super) fn take_ticket(&mut self, ticket: &[u8]) -> Result<(), TlsError> {
        match self {
            Self::Client(client) => Ok(client.handle_new_session_ticket(ticket)?),
            Self::Server(_) => Err(BadRecord::Unexpected.into()),
        }
    }

    /// How many records one key may protect.
    pub(super) fn record_limit(&self) -> u64 {
        let suite = match self {
            Self::Client(client) => client.negotiated_cipher_suite(),
            Self::Server(server) => server.negotiated_cipher_suite(),
        };
        let limit = suite.tls13().map_or(0, |suite| suite.common.confidentiality_limit);
        limit.min(MOST_RECORDS)
    }
}

/// AES-GCM's limit (RFC 8446, 5.5); rustls knows it for each suite, and none may have a higher one.
const MOST_RECORDS: u64 = 1 << 24;

//! One step of rustls' unbuffered handshake, the same for both ends.

use rustls::{
    CommonState, Error,
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus},
};

use super::{Records, TlsError, keys::Keys};

/// The TLS state of one end while it shakes hands.
pub(super) enum Session {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Where a session has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It has more to do.
    Nowhere,
    /// It wants bytes from the peer.
    Blocked,
    /// The peer has sent data before its handshake was done, or said that it sends no more.
    Broken,
}

// === impl Session ===

impl Session {
    /// Goes on to the next stop, and says how many bytes of `incoming` are done with.
    ///
    /// What TLS has to say is appended to `outgoing`. rustls remembers places in `incoming`: each step must be given all
    /// that is left of it.
    pub(super) fn step(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) -> (usize, Result<Stop, Error>) {
        match self {
            Self::Client(client) => step(client.process_tls_records(incoming), outgoing),
            Self::Server(server) => step(server.process_tls_records(incoming), outgoing),
        }
    }

    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }

    /// Takes the keys, once the handshake is done and all is said.
    pub(super) fn into_records(self) -> Result<Records, TlsError> {
        match self {
            Self::Client(client) => Keys::of_client(*client),
            Self::Server(server) => Keys::of_server(*server),
        }
    }
}

fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Vec<u8>) -> (usize, Result<Stop, Error>) {
    let UnbufferedStatus { discard, state } = status;
    let stop = state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut data) => {
            append(outgoing, |out| data.encode(out))?;
            Ok(Stop::Nowhere)
        }
        ConnectionState::TransmitTlsData(sent) => {
            sent.done();
            Ok(Stop::Nowhere)
        }
        ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Ok(Stop::Blocked),
        ConnectionState::ReadTraffic(_)
        | ConnectionState::ReadEarlyData(_)
        | ConnectionState::PeerClosed
        | ConnectionState::Closed => Ok(Stop::Broken),
        // rustls' own enum, which may grow.
        _ => Ok(Stop::Broken),
    });
    (discard, stop)
}

/// Appends what `encode` writes, giving it the room that it asks for.
fn append(
    outgoing: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let start = outgoing.len();
    let written = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            outgoing.resize(start + required_size, 0);
            encode(&mut outgoing[start..])
        }
        written => written,
    };
    match written {
        Ok(written) => {
            outgoing.truncate(start + written);
            Ok(())
        }
        Err(error) => Err(Error::General(error.to_string())),
    }
}

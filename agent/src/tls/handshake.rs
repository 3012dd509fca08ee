//! The handshake of two agents over a connection, from either end.

use std::io;

use rustls::{HandshakeKind, client::UnbufferedClientConnection, server::UnbufferedServerConnection};
use tokio::net::TcpStream;

use super::{
    Credentials, Established, Expected, Peer, Protocol, TlsError,
    certificate::{PodCertificate, Role},
    error::TlsCause,
    protection::HEADER,
    session::{Session, Stop},
};

/// Shakes hands with the pod that was dialled. The caller sets the time limit.
pub async fn connect(
    stream: &TcpStream,
    credentials: &Credentials,
    expected: &Expected,
    protocol: Protocol,
) -> Result<Established, TlsError> {
    credentials.check()?;
    let name = expected.name(&credentials.identity().trust_domain)?;
    let config = credentials.client.clone();
    let client = UnbufferedClientConnection::new_with_alpn(config, name, vec![protocol.alpn().to_vec()])?;
    let mut handshake = Handshake::new(Session::Client(Box::new(client)), Vec::new());
    handshake.run(stream).await?;
    let certificate = handshake.peer(credentials, Role::Server)?;
    expected.check(&certificate)?;
    handshake.finish(&certificate)
}

/// Shakes hands with a client, of which `first` was read already. The caller sets the time limit.
pub async fn accept(stream: &TcpStream, credentials: &Credentials, first: Vec<u8>) -> Result<Established, TlsError> {
    credentials.check()?;
    let server = UnbufferedServerConnection::new(credentials.server.clone())?;
    let mut handshake = Handshake::new(Session::Server(Box::new(server)), first);
    handshake.run(stream).await?;
    let certificate = handshake.peer(credentials, Role::Client)?;
    handshake.finish(&certificate)
}

/// A handshake on its way.
pub(super) struct Handshake {
    pub(super) session: Session,
    pub(super) incoming: Vec<u8>,
    pub(super) outgoing: Vec<u8>,
    received: usize,
    /// How many of the incoming bytes TLS has seen.
    offered: usize,
}

// === impl Handshake ===

impl Handshake {
    pub(super) fn new(session: Session, first: Vec<u8>) -> Self {
        Self {
            session,
            received: first.len(),
            incoming: first,
            outgoing: Vec::new(),
            offered: 0,
        }
    }

    /// Goes on until the keys are agreed; the last flight stays in `outgoing`.
    ///
    /// TLS sees record after record: what follows the last one of the handshake is not its business any more.
    pub(super) async fn run(&mut self, stream: &TcpStream) -> Result<(), TlsError> {
        while self.session.state().is_handshaking() || self.session.state().wants_write() {
            let seen = &mut self.incoming[..self.offered];
            let (used, stop) = self.session.step(seen, &mut self.outgoing);
            self.incoming.drain(..used);
            self.offered -= used;
            match stop {
                Ok(Stop::Nowhere) => {}
                Ok(Stop::Blocked) if !self.session.state().is_handshaking() => {}
                Ok(Stop::Blocked) => match next_record(&self.incoming, self.offered) {
                    Some(end) => self.offered = end,
                    None => {
                        send(stream, &mut self.outgoing).await?;
                        self.receive(stream).await?;
                    }
                },
                Ok(Stop::Broken) => return Err(TlsError::Hasty),
                Err(error) => {
                    self.tell_alert(stream);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    async fn receive(&mut self, stream: &TcpStream) -> Result<(), TlsError> {
        loop {
            stream.readable().await?;
            self.incoming.reserve(CHUNK);
            match stream.try_read_buf(&mut self.incoming) {
                Ok(0) => return Err(TlsError::Closed),
                Ok(read) => {
                    self.received += read;
                    return if self.received > LONGEST {
                        Err(TlsError::Endless)
                    } else {
                        Ok(())
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the peer why, as far as the socket takes it at once.
    fn tell_alert(&mut self, stream: &TcpStream) {
        while self.session.state().wants_write() {
            let (_, Ok(Stop::Nowhere)) = self.session.step(&mut [], &mut self.outgoing) else {
                break;
            };
        }
        // The peer learns it or does not: the connection is over anyway.
        let _ = stream.try_write(&self.outgoing);
    }

    /// Who the peer has proved to be, judged by the trust of this moment, after a resumption as after a full handshake.
    fn peer(&self, credentials: &Credentials, role: Role) -> Result<PodCertificate, TlsError> {
        let presented = self.session.state().peer_certificates().and_then(|chain| chain.first());
        let presented = presented.ok_or(TlsError::Unverified(TlsCause(rustls::Error::NoCertificatesPresented)))?;
        let certificate = PodCertificate::read(presented).map_err(super::Refused::from)?;
        certificate.permits(role).map_err(super::Refused::from)?;
        credentials.judge(&certificate)?;
        Ok(certificate)
    }

    fn finish(self, certificate: &PodCertificate) -> Result<Established, TlsError> {
        let state = self.session.state();
        let protocol = state.alpn_protocol().and_then(Protocol::of_alpn);
        Ok(Established {
            peer: Peer::of(certificate),
            protocol: protocol.ok_or(TlsError::NoProtocol)?,
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            unread: self.incoming,
            unsent: self.outgoing,
            records: self.session.into_records()?,
        })
    }
}

/// Where the record that begins at `start` ends, if it is whole; what is no record is left to TLS to refuse.
fn next_record(incoming: &[u8], start: usize) -> Option<usize> {
    let rest = incoming.get(start..).filter(|rest| !rest.is_empty())?;
    match *rest {
        [20..=23, 3, _, high, low, ..] => {
            let end = start + HEADER + usize::from(u16::from_be_bytes([high, low]));
            (end <= incoming.len()).then_some(end)
        }
        [20..=23] | [20..=23, 3] | [20..=23, 3, _] | [20..=23, 3, _, _] => None,
        _ => Some(incoming.len()),
    }
}

async fn send(stream: &TcpStream, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    while sent < outgoing.len() {
        stream.writable().await?;
        match stream.try_write(&outgoing[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    outgoing.clear();
    Ok(())
}

/// How much is read at once: an agent's flights are one to two kilobytes.
const CHUNK: usize = 4096;
/// What a peer may send before the handshake is done.
const LONGEST: usize = 64 * 1024;

//! The handshake of two agents over a connection, from either end.

use std::io;

use rustls::{HandshakeKind, client::UnbufferedClientConnection, server::UnbufferedServerConnection};
use tokio::net::TcpStream;

use super::{
    Credentials, Established, Expected, Peer, Protocol, TlsError,
    certificate::{PodCertificate, Role},
    error::TlsCause,
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
struct Handshake {
    session: Session,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    received: usize,
}

// === impl Handshake ===

impl Handshake {
    fn new(session: Session, first: Vec<u8>) -> Self {
        Self {
            session,
            received: first.len(),
            incoming: first,
            outgoing: Vec::new(),
        }
    }

    /// Goes on until the keys are agreed; the last flight stays in `outgoing`.
    async fn run(&mut self, stream: &TcpStream) -> Result<(), TlsError> {
        // The ticket is asked for last: rustls looks at no more of the peer's bytes while it has something to say.
        while self.session.state().is_handshaking() || self.session.state().wants_write() {
            let (used, stop) = self.session.step(&mut self.incoming, &mut self.outgoing);
            self.incoming.drain(..used);
            match stop {
                Ok(Stop::Nowhere) => {}
                Ok(Stop::Blocked) if !self.session.state().is_handshaking() => {}
                Ok(Stop::Blocked) => {
                    send(stream, &mut self.outgoing).await?;
                    self.receive(stream).await?;
                }
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

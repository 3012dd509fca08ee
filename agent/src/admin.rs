//! What the agent tells its operator: /metrics, /readyz and /livez on a port of the node, and everything else on a unix
//! socket that belongs to root alone.
//!
//! Only metrics are answered here. Whoever wires the rooms takes the other [`Request`]s from a channel.

mod http;
mod port;
mod request;
mod socket;
#[cfg(test)]
mod tests;

use std::{future, io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    net::{TcpListener, UnixStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};

pub use request::{Readiness, Request};

use self::{http::serve, port::Port};
use crate::{
    net::{RootSocket, RootSocketError},
    telemetry::Exposition,
};

/// The two places at which the agent answers, bound and not served yet; others than agents have the port only.
#[derive(Debug)]
pub struct Admin {
    port: TcpListener,
    socket: Option<RootSocket>,
}

/// Why the agent cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The port cannot be had.
    #[error("cannot listen at {address}")]
    Port {
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] RootSocketError),
}

// === impl Admin ===

impl Admin {
    /// Takes the port, and the socket unless somebody answers there.
    pub async fn bind(address: SocketAddr, socket: PathBuf) -> Result<Self, AdminError> {
        Ok(Self {
            socket: Some(RootSocket::bind(socket)?),
            ..Self::bind_port(address).await?
        })
    }

    /// Takes the port alone.
    pub async fn bind_port(address: SocketAddr) -> Result<Self, AdminError> {
        let port = TcpListener::bind(address).await;
        Ok(Self {
            port: port.map_err(|source| AdminError::Port { address, source })?,
            socket: None,
        })
    }

    /// The address of the port.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    /// Answers until it is dropped, and with it the socket's file.
    pub async fn run(self, exposition: Exposition, requests: mpsc::Sender<Request>) {
        let Self { port, socket } = self;
        let at_port = Port::new(exposition, requests.clone());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = port.accept(), if connections.len() < MOST_CONNECTIONS => {
                    let Some((stream, _)) = http::accepted(accepted).await else { continue };
                    let at_port = at_port.clone();
                    let answer = move |request| at_port.clone().answer(request);
                    connections.spawn(async move {
                        // A client that reads slowly must not keep its place for ever.
                        let _slow = timeout(LONGEST_VISIT, serve(stream, answer)).await;
                    });
                }
                accepted = at_socket(socket.as_ref()), if connections.len() < MOST_CONNECTIONS => {
                    let Some(stream) = http::accepted(accepted).await else { continue };
                    let requests = requests.clone();
                    connections.spawn(serve(stream, move |request| socket::answer(request, requests.clone())));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn at_socket(socket: Option<&RootSocket>) -> io::Result<UnixStream> {
    match socket {
        Some(socket) => Ok(socket.accept().await?.0),
        None => future::pending().await,
    }
}

/// How many clients are served at once, those of the socket included.
const MOST_CONNECTIONS: usize = 64;
/// How long a client of the port may stay.
const LONGEST_VISIT: Duration = Duration::from_secs(60);

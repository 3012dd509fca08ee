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

use std::{convert::Infallible, future, io, net::SocketAddr, path::PathBuf, pin::pin, time::Duration};

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
    /// Takes the port.
    pub async fn bind_port(address: SocketAddr) -> Result<Self, AdminError> {
        let port = TcpListener::bind(address).await;
        Ok(Self {
            port: port.map_err(|source| AdminError::Port { address, source })?,
            socket: None,
        })
    }

    /// Takes the socket too, unless somebody answers there.
    pub fn with_socket(self, socket: PathBuf) -> Result<Self, AdminError> {
        Ok(Self {
            socket: Some(RootSocket::bind(socket)?),
            ..self
        })
    }

    /// The address of the port.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    /// Answers while `work` goes on, without which nothing can be asked of the rest: alive, and not ready for this reason.
    pub async fn during<T>(&self, why: &str, work: impl Future<Output = T>) -> T {
        let (requests, mut questions) = mpsc::channel(1);
        let mut work = pin!(work);
        let mut answering = pin!(self.answer(Exposition::default(), requests));
        loop {
            tokio::select! {
                done = &mut work => return done,
                never = &mut answering => match never {},
                Some(question) = questions.recv() => if let Request::Readiness(answer) = question {
                    // Who asked may have gone.
                    let _ = answer.send(Readiness::Waiting(vec![why.to_owned()]));
                },
            }
        }
    }

    /// Answers until it is dropped, and with it the socket's file.
    pub async fn run(self, exposition: Exposition, requests: mpsc::Sender<Request>) {
        match self.answer(exposition, requests).await {}
    }

    async fn answer(&self, exposition: Exposition, requests: mpsc::Sender<Request>) -> Infallible {
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

//! The agent's end: it knows the CA by its token or a bundle, and proves itself by a token.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::mpsc,
    time::timeout,
};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, tokio_stream::wrappers::ReceiverStream},
};

use super::{
    super::{
        super::{InvalidToken, JoinToken, TlsStream, pinned, random},
        AHEAD, Answer, Attendance, Ca, CaError, PodToken, Proof, Word, message,
    },
    AUTHORIZATION, KEEP_ALIVE, NODE,
    generated::certificates_client::CertificatesClient,
};
use crate::{
    net::{self, Liveness},
    telemetry::with_causes,
};

/// A `weft ca` elsewhere, of one process or of several.
#[derive(Clone, Debug)]
pub struct Remote {
    address: String,
    credential: Credential,
    node: Arc<str>,
    /// The replica that was attended last.
    attended: Arc<Mutex<Option<SocketAddr>>>,
}

/// By what an agent and a CA know each other. Files are read anew at each connect.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The file with a token of `weft ca token`, which names the CA's root.
    Join(PathBuf),
    /// In Kubernetes.
    Pod {
        /// The file with the service account token of the agent's pod, which the kubelet renews.
        token: PathBuf,
        /// The file with the roots of the CA (PEM).
        bundle: PathBuf,
    },
}

/// A credential as its files say it at this moment.
struct Loaded {
    proof: Proof,
    anchor: pinned::Anchor,
}

// === impl Remote ===

impl Ca for Remote {
    async fn attend(&self) -> Result<Attendance, CaError> {
        let loaded = self.load()?;
        let addresses = lookup_host(&self.address).await.map_err(|source| self.away(source))?;
        let lost = *self.attended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = self.away(io::ErrorKind::NotFound.into());
        for address in turns(addresses.collect(), lost) {
            match timeout(REPLICA_TIME, self.open(address, &loaded)).await {
                Ok(Ok(attendance)) => {
                    *self.attended.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
                    return Ok(attendance);
                }
                // Another replica would say the same.
                Ok(Err(refused @ CaError::Refused(_))) => return Err(refused),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = self.away(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(last)
    }
}

impl Remote {
    /// A CA that listens at HOST:PORT, for the agent of this node. A host of several addresses is tried at each of them, in no
    /// order but that the one which was attended last, and was lost, comes last.
    pub fn new(address: impl Into<String>, credential: Credential, node: impl Into<Arc<str>>) -> Self {
        Self {
            address: address.into(),
            credential,
            node: node.into(),
            attended: Arc::default(),
        }
    }

    fn load(&self) -> Result<Loaded, CaError> {
        match &self.credential {
            Credential::Join(file) => {
                let token: JoinToken = read(file)?.parse()?;
                token.check(&self.node)?;
                Ok(Loaded {
                    anchor: pinned::Anchor::Root(token.root),
                    proof: Proof::Join(token),
                })
            }
            Credential::Pod { token, bundle } => {
                let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                Ok(Loaded {
                    proof: Proof::Pod {
                        token: PodToken::read(&read(token)?)?,
                        node: Arc::clone(&self.node),
                    },
                    anchor: pinned::Anchor::bundle(read(bundle)?.as_bytes(), host)?,
                })
            }
        }
    }

    async fn open(&self, address: SocketAddr, loaded: &Loaded) -> Result<Attendance, CaError> {
        let stream = timeout(CONNECT_TIME, TcpStream::connect(address))
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| self.away(source))?;
        net::tune(&stream, LIVENESS).map_err(|source| self.away(source))?;
        let stream = pinned::connect(stream, &loaded.anchor).await?;
        attend(stream, &loaded.proof).await
    }

    fn away(&self, source: io::Error) -> CaError {
        CaError::Connect {
            address: self.address.clone(),
            source,
        }
    }
}

/// In which order replicas are tried.
fn turns(mut addresses: Vec<SocketAddr>, lost: Option<SocketAddr>) -> Vec<SocketAddr> {
    random::shuffle(&mut addresses);
    addresses.sort_by_key(|address| Some(*address) == lost);
    addresses
}

fn read(file: &Path) -> Result<String, CaError> {
    fs::read_to_string(file).map_err(|source| CaError::File {
        path: file.to_owned(),
        source,
    })
}

async fn attend(stream: TlsStream, proof: &Proof) -> Result<Attendance, CaError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await?;
    // It ends with the last stream on it.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = with_causes(&error), "The connection to the CA has failed");
        }
    });
    let (say, said) = mpsc::channel(AHEAD);
    let (words, outgoing) = mpsc::channel(AHEAD);
    tokio::spawn(forward(said, words));
    let mut request = tonic::Request::new(ReceiverStream::new(outgoing));
    let malformed = || CaError::Token(InvalidToken::Malformed);
    let bearer = format!("Bearer {}", proof.reveal()).parse();
    let node = proof.node().parse();
    let metadata = request.metadata_mut();
    metadata.insert(AUTHORIZATION, bearer.map_err(|_invalid| malformed())?);
    metadata.insert(NODE, node.map_err(|_invalid| malformed())?);
    let mut service = CertificatesClient::with_origin(Channel(sender), Uri::from_static(ORIGIN));
    let answers = service.attend(request).await.map_err(refused)?.into_inner();
    let (sender, received) = mpsc::channel(AHEAD);
    tokio::spawn(receive(answers, sender));
    Ok(Attendance { say, answers: received })
}

async fn forward(mut said: mpsc::Receiver<Word>, words: mpsc::Sender<message::Word>) {
    while let Some(word) = said.recv().await {
        if words.send(word.into()).await.is_err() {
            return;
        }
    }
}

async fn receive(mut stream: Streaming<message::Answer>, answers: mpsc::Sender<Answer>) {
    loop {
        match stream.message().await.map(|answer| answer.map(message::Answer::read)) {
            Ok(Some(Ok(answer))) => {
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
            Ok(Some(Err(senseless))) => {
                tracing::warn!(%senseless, "The CA says what means nothing");
                return;
            }
            Ok(None) => return,
            Err(status) => {
                tracing::warn!(reason = status.message(), "The CA has ended the stream");
                return;
            }
        }
    }
}

fn refused(status: Status) -> CaError {
    let reason = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    if status.code() == Code::Unavailable {
        CaError::Unavailable(reason)
    } else {
        CaError::Refused(reason)
    }
}

/// A connection to a CA as tonic wants it.
struct Channel(http2::SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.send_request(request);
        Pin::from(Box::new(response))
    }
}

const ORIGIN: &str = "https://ca.weft";
/// How long one replica may take to let the agent attend, before another one is asked.
const REPLICA_TIME: Duration = Duration::from_secs(3);
/// How long the kernel of its machine may take to answer: it has nothing to ask anybody.
const CONNECT_TIME: Duration = Duration::from_secs(1);
/// A machine that is lost sends no end. What this probes is the kernel of the other side; whether the process lives, the
/// probes of HTTP/2 find out. The time of a probe is counted in whole seconds.
const LIVENESS: Liveness = Liveness {
    idle: Duration::from_secs(1),
    interval: Duration::from_secs(1),
    user_timeout: Duration::from_secs(2),
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::sample::mk_address;

    #[test]
    fn a_replica_that_was_lost_is_tried_last_and_the_others_in_no_order() {
        let [a, b, c] = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(mk_address);
        let orders = |lost| (0..100).map(move |_| turns(vec![a, b, c], lost));
        assert!(orders(Some(b)).all(|order| order[2] == b));
        let firsts: HashSet<SocketAddr> = orders(Some(b)).map(|order| order[0]).collect();
        assert_eq!(firsts, HashSet::from([a, c]));
        let firsts: HashSet<SocketAddr> = orders(None).map(|order| order[0]).collect();
        assert_eq!(firsts, HashSet::from([a, b, c]));
    }
}

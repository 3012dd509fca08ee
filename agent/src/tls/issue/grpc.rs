//! Both ends of the stream between an agent and `weft ca`: gRPC over HTTP/2 over our own TLS.

use std::{
    fs,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response, Uri, body::Incoming, client::conn::http2 as client, server::conn::http2 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::mpsc};
use tonic::{
    Status, Streaming,
    body::Body,
    codegen::{BoxFuture, BoxStream, Service, async_trait, tokio_stream::wrappers::ReceiverStream},
};

use super::{
    super::{JoinToken, TlsStream, pinned},
    AHEAD, Answer, Attendance, Ca, CaError, Word, message,
};
use crate::telemetry::with_causes;

use self::generated::{
    certificates_client::CertificatesClient,
    certificates_server::{Certificates, CertificatesServer},
};

/// A `weft ca` elsewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where it listens, as HOST:PORT.
    pub address: String,
    /// The file with the agent's token.
    pub token: PathBuf,
    /// The agent's node, for which the token must be.
    pub node: Arc<str>,
}

/// An agent that attends.
#[derive(Debug)]
pub struct Attendee {
    /// The token by which it is known.
    pub token: JoinToken,
    /// What it says; its end is the stream's.
    pub words: mpsc::Receiver<Word>,
    /// Where it is answered.
    pub answers: mpsc::Sender<Answer>,
}

/// Whom a CA lets attend, and what it does with them.
pub trait Reception: Clone + Send + Sync + 'static {
    /// Whether this token may be used now; else what its bearer is told.
    fn knows(&self, token: &JoinToken) -> Result<(), String>;

    /// Takes an agent in.
    fn welcome(&self, attendee: Attendee);
}

// === impl Remote ===

impl Ca for Remote {
    async fn attend(&self) -> Result<Attendance, CaError> {
        let away = |source| CaError::Connect {
            address: self.address.clone(),
            source,
        };
        let unreadable = |source| CaError::TokenFile {
            path: self.token.clone(),
            source,
        };
        let token = fs::read_to_string(&self.token).map_err(unreadable)?;
        let token: JoinToken = token.parse()?;
        token.check(&self.node)?;
        let stream = TcpStream::connect(&self.address).await.map_err(away)?;
        stream.set_nodelay(true).map_err(away)?;
        let stream = pinned::connect(stream, token.root).await?;
        let (sender, connection) = client::Builder::new(TokioExecutor::new())
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
        let bearer = format!("Bearer {}", token.reveal()).parse();
        let bearer = bearer.map_err(|_invalid| CaError::Token(super::super::InvalidToken::Malformed))?;
        request.metadata_mut().insert(AUTHORIZATION, bearer);
        let mut service = CertificatesClient::with_origin(Channel(sender), Uri::from_static(ORIGIN));
        let answers = service.attend(request).await.map_err(refused)?.into_inner();
        let (sender, received) = mpsc::channel(AHEAD);
        tokio::spawn(receive(answers, sender));
        Ok(Attendance { say, answers: received })
    }
}

/// Serves an agent that has connected, until it leaves.
pub async fn serve(stream: TlsStream, reception: impl Reception) -> Result<(), hyper::Error> {
    let certificates = CertificatesServer::new(Desk(reception)).max_decoding_message_size(LARGEST_WORD);
    server::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request: Request<Incoming>| {
                let mut certificates = certificates.clone();
                async move { certificates.call(request).await }
            }),
        )
        .await
}

/// The generated service, over whom a CA lets in.
struct Desk<R>(R);

#[async_trait]
impl<R: Reception> Certificates for Desk<R> {
    type AttendStream = BoxStream<message::Answer>;

    async fn attend(
        &self,
        request: tonic::Request<Streaming<message::Word>>,
    ) -> Result<tonic::Response<Self::AttendStream>, Status> {
        let token = bearer(&request)?;
        self.0.knows(&token).map_err(Status::permission_denied)?;
        let (sender, words) = mpsc::channel(AHEAD);
        let (answers, given) = mpsc::channel(AHEAD);
        let (messages, outgoing) = mpsc::channel(AHEAD);
        tokio::spawn(hear(request.into_inner(), sender));
        tokio::spawn(answer(given, messages));
        self.0.welcome(Attendee { token, words, answers });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

fn bearer<T>(request: &tonic::Request<T>) -> Result<JoinToken, Status> {
    let header = request.metadata().get(AUTHORIZATION);
    let text = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let text = text.ok_or_else(|| Status::unauthenticated("there is no token"))?;
    text.parse()
        .map_err(|invalid: super::super::InvalidToken| Status::unauthenticated(invalid.to_string()))
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

async fn hear(mut stream: Streaming<message::Word>, words: mpsc::Sender<Word>) {
    while let Ok(Some(message)) = stream.message().await {
        let Ok(heard) = message.read() else { return };
        for word in heard {
            if words.send(word).await.is_err() {
                return;
            }
        }
    }
}

async fn answer(mut given: mpsc::Receiver<Answer>, messages: mpsc::Sender<Result<message::Answer, Status>>) {
    while let Some(answer) = given.recv().await {
        if messages.send(Ok(answer.into())).await.is_err() {
            return;
        }
    }
}

fn refused(status: Status) -> CaError {
    CaError::Refused(match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    })
}

/// A connection to a CA as tonic wants it.
struct Channel(client::SendRequest<Body>);

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

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "tonic-build writes it"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/weft.ca.v1.Certificates.rs"));
}

const AUTHORIZATION: &str = "authorization";
const ORIGIN: &str = "https://ca.weft";
/// A dead peer is noticed after twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// An agent needs one stream.
const STREAMS: u32 = 4;
/// A batch of requests takes some tens of kilobytes.
const LARGEST_WORD: usize = 1024 * 1024;

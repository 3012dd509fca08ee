//! The CA's end: whom it lets attend, and the words that come and go.

use std::future::Future;

use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tonic::{
    Status, Streaming,
    codegen::{BoxStream, Service as _, async_trait, tokio_stream::wrappers::ReceiverStream},
};

use super::{
    super::{super::TlsStream, AHEAD, Answer, Proof, Word, message},
    AUTHORIZATION, KEEP_ALIVE, NODE,
    generated::certificates_server::{Certificates, CertificatesServer},
};

/// An agent that attends.
#[derive(Debug)]
pub struct Attendee<K> {
    /// As whom it was admitted.
    pub known: K,
    /// What it says; its end is the stream's.
    pub words: mpsc::Receiver<Word>,
    /// Where it is answered.
    pub answers: mpsc::Sender<Answer>,
}

/// Why an agent may not attend; the text is what it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// It does not prove to be one that may.
    #[error("{0}")]
    Refused(String),
    /// This cannot be found out at this moment.
    #[error("{0}")]
    Unavailable(String),
}

/// Whom a CA lets attend, and what it does with them.
pub trait Reception: Clone + Send + Sync + 'static {
    /// An agent that was admitted.
    type Known: Send + 'static;

    /// Finds out whose agent this is.
    fn admit(&self, proof: Proof) -> impl Future<Output = Result<Self::Known, NotAdmitted>> + Send;

    /// Takes an agent in.
    fn welcome(&self, attendee: Attendee<Self::Known>);
}

/// Serves an agent that has connected, until it leaves.
pub async fn serve(stream: TlsStream, reception: impl Reception) -> Result<(), hyper::Error> {
    let certificates = CertificatesServer::new(Desk(reception)).max_decoding_message_size(LARGEST_WORD);
    http2::Builder::new(TokioExecutor::new())
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
        let known = self.0.admit(proof(&request)?).await.map_err(status)?;
        let (sender, words) = mpsc::channel(AHEAD);
        let (answers, given) = mpsc::channel(AHEAD);
        let (messages, outgoing) = mpsc::channel(AHEAD);
        tokio::spawn(hear(request.into_inner(), sender));
        tokio::spawn(answer(given, messages));
        self.0.welcome(Attendee { known, words, answers });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

fn proof<T>(request: &tonic::Request<T>) -> Result<Proof, Status> {
    let text = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let bearer = bearer.ok_or_else(|| Status::unauthenticated("there is no token"))?;
    Proof::read(bearer, text(NODE)).map_err(|invalid| Status::unauthenticated(invalid.to_string()))
}

fn status(error: NotAdmitted) -> Status {
    match error {
        NotAdmitted::Refused(reason) => Status::permission_denied(reason),
        NotAdmitted::Unavailable(reason) => Status::unavailable(reason),
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

/// An agent needs one stream.
const STREAMS: u32 = 4;
/// A batch of requests takes some tens of kilobytes.
const LARGEST_WORD: usize = 1024 * 1024;

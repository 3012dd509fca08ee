//! HTTP/1 for operators: small requests, bounded in size and time.

use std::{convert::Infallible, future::Future, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::Request as Question;

/// An answer, whole or endless.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves one client.
pub(super) async fn serve<F: Future<Output = Answer>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<Incoming>) -> F,
) {
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEADER)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "A client of the admin port or socket left early");
    }
}

/// Gives a failed accept time: what ran out does not come back at once.
pub(super) async fn accepted<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::debug!(%error, "A client of the admin port or socket cannot be accepted");
            sleep(BREATHER).await;
            None
        }
    }
}

/// Asks the rest of the agent; the error is the answer where it cannot tell.
pub(super) async fn ask<T>(
    requests: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Answer> {
    let (sender, receiver) = oneshot::channel();
    let answered = timeout(ANSWER_TIME, async {
        requests.send(question(sender)).await.ok()?;
        receiver.await.ok()
    });
    match answered.await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(text(StatusCode::SERVICE_UNAVAILABLE, "The agent is ending\n")),
        Err(_elapsed) => Err(text(StatusCode::SERVICE_UNAVAILABLE, "The agent is busy\n")),
    }
}

/// Words.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of_type(status, "text/plain; charset=utf-8", text.into())
}

/// A value.
pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => of_type(StatusCode::OK, "application/json", bytes.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Bytes of a type.
pub(super) fn of_type(status: StatusCode, kind: &'static str, bytes: Bytes) -> Answer {
    let mut response = Response::new(Full::new(bytes).boxed());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// How long a client may take for a request's head, and to begin the next one.
const HEADER_TIME: Duration = Duration::from_secs(5);
const MOST_HEADERS: usize = 32;
const LARGEST_HEADER: usize = 16 * 1024;
/// How long the rest of the agent may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);
const BREATHER: Duration = Duration::from_millis(100);

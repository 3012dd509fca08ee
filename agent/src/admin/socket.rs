//! What only root may see and do: the questions that the unix socket takes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
};
use tokio::sync::mpsc;

use super::{
    Request as Question,
    http::{Answer, ask, json, text},
};
use crate::{
    model::{Opening, RouteQuestion},
    telemetry::{ConnectionId, Refusal},
};

/// An endless answer: a line of JSON for each connection that is refused.
#[derive(Debug)]
struct Lines(mpsc::Receiver<Refusal>);

// === impl Lines ===

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|refusal| {
            let mut line = serde_json::to_vec(&refusal?).unwrap_or_default();
            line.push(b'\n');
            Some(Ok(Frame::data(line.into())))
        })
    }
}

/// Answers a client of the socket.
pub(super) async fn answer(request: Request<Incoming>, requests: mpsc::Sender<Question>) -> Answer {
    match route(&request, &requests).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn route(request: &Request<Incoming>, requests: &mpsc::Sender<Question>) -> Result<Answer, Answer> {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    Ok(match (request.method(), &path[..]) {
        (&Method::GET, ["connections"]) => json(&ask(requests, Question::Connections).await?),
        (&Method::POST, ["connections", id, "kill"]) => kill(id, requests).await?,
        (&Method::GET, ["mesh", "pods"]) => json(&ask(requests, Question::Pods).await?),
        (&Method::GET, ["mesh", "services"]) => json(&ask(requests, Question::Services).await?),
        (&Method::GET, ["mesh", "endpoints"]) => json(&ask(requests, Question::Endpoints).await?),
        (&Method::GET, ["certificates"]) => json(&ask(requests, Question::Certificates).await?),
        (&Method::GET, ["mesh", "policies"]) => json(&ask(requests, Question::Policies).await?),
        (&Method::GET, ["mesh", "policies", "test"]) => explain(request.uri().query(), requests).await?,
        (&Method::GET, ["mesh", "routes"]) => json(&ask(requests, Question::Routes).await?),
        (&Method::GET, ["mesh", "routes", "test"]) => test_route(request.uri().query(), requests).await?,
        (&Method::GET, ["mesh", "problems"]) => json(&ask(requests, Question::Problems).await?),
        (&Method::GET, ["drops"]) => Response::new(Lines(ask(requests, Question::Refusals).await?).boxed()),
        _ => text(StatusCode::NOT_FOUND, "There is no such thing here\n"),
    })
}

async fn kill(id: &str, requests: &mpsc::Sender<Question>) -> Result<Answer, Answer> {
    let Ok(id) = id.parse().map(ConnectionId) else {
        return Err(text(StatusCode::BAD_REQUEST, "A connection is named by a number\n"));
    };
    if ask(requests, |answer| Question::Kill { id, answer }).await? {
        return Ok(json(&serde_json::json!({ "killed": id })));
    }
    Err(text(StatusCode::NOT_FOUND, format!("There is no connection {id}\n")))
}

async fn explain(query: Option<&str>, requests: &mpsc::Sender<Question>) -> Result<Answer, Answer> {
    let question = query.unwrap_or_default().parse();
    let question = question.map_err(|error| text(StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let explained = ask(requests, |answer| Question::Explain { question, answer }).await?;
    let explained = explained.map_err(|error| text(StatusCode::NOT_FOUND, format!("{error}\n")))?;
    Ok(json(&explained))
}

async fn test_route(query: Option<&str>, requests: &mpsc::Sender<Question>) -> Result<Answer, Answer> {
    let refused = || {
        text(
            StatusCode::BAD_REQUEST,
            "A request is from a pod, to a URL, with a method and headers, a connection with a server name\n",
        )
    };
    let question = Box::new(asked(query.unwrap_or_default()).ok_or_else(refused)?);
    let verdict = ask(requests, |answer| Question::TestRoute { question, answer }).await?;
    let verdict = verdict.map_err(|error| text(StatusCode::NOT_FOUND, format!("{error}\n")))?;
    Ok(json(&verdict))
}

/// Reads `from`, `to`, and `server-name` or `method` and any `header`, each value in hexadecimal digits.
fn asked(query: &str) -> Option<RouteQuestion> {
    let (mut from, mut server_name) = (None, None);
    let mut request = Request::builder();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=')?;
        let value = unhexed(value)?;
        request = match key {
            "from" => {
                from = Some(value);
                request
            }
            "server-name" => {
                server_name = Some(value);
                request
            }
            "to" => request.uri(value),
            "method" => request.method(value.as_str()),
            "header" => {
                let (name, value) = value.split_once(':')?;
                request.header(name.trim(), value.trim())
            }
            _ => return None,
        };
    }
    let (request, ()) = request.body(()).ok()?.into_parts();
    Some(RouteQuestion {
        from: from?,
        to: request.uri,
        opening: server_name.map_or(
            Opening::Request {
                method: request.method,
                headers: request.headers,
            },
            Opening::Tls,
        ),
    })
}

fn unhexed(text: &str) -> Option<String> {
    let bytes = (0..text.len()).step_by(2).map(|start| {
        let digits = text.get(start..start + 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

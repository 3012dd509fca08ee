//! The HTTP server: tells what it was asked, by whom, and who answers.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::net::TcpStream;

use crate::serve::State;

/// What a path wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Echo,
    Ready,
    Status(StatusCode),
    Delay(std::time::Duration),
    Bytes(usize),
}

/// Serves a connection of either version of HTTP.
pub(crate) async fn serve(state: Arc<State>, stream: TcpStream, client: SocketAddr) -> anyhow::Result<()> {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(&state, client, request).await) }
    });
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(anyhow::Error::from_boxed)
}

async fn answer(state: &State, client: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let wish = Wish::of(request.uri().path());
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return respond(StatusCode::BAD_REQUEST, Bytes::new());
    };
    let status = match wish {
        Some(Wish::Status(status)) => status,
        Some(Wish::Ready) if state.is_ending() => StatusCode::SERVICE_UNAVAILABLE,
        Some(Wish::Echo | Wish::Ready) => StatusCode::OK,
        Some(Wish::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            StatusCode::OK
        }
        Some(Wish::Bytes(count)) => return respond(StatusCode::OK, vec![b'x'; count].into()),
        None => StatusCode::NOT_FOUND,
    };
    let headers: BTreeMap<_, _> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let told = json!({
        "pod": state.me.pod,
        "node": state.me.node,
        "client": client.to_string(),
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "version": format!("{:?}", parts.version),
        "headers": headers,
        "received": body.to_bytes().len(),
    });
    respond(status, format!("{told}\n").into())
}

fn respond(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

// === impl Wish ===

impl Wish {
    fn of(path: &str) -> Option<Self> {
        let Some((what, value)) = path.trim_start_matches('/').split_once('/') else {
            return Some(if path == "/ready" { Self::Ready } else { Self::Echo });
        };
        match what {
            "status" => Some(Self::Status(value.parse().ok()?)),
            "delay" => Some(Self::Delay(humantime::parse_duration(value).ok()?)),
            "bytes" => Some(Self::Bytes(value.parse().ok().filter(|count| *count <= MOST)?)),
            _ => Some(Self::Echo),
        }
    }
}

/// The most bytes that an answer is made of.
const MOST: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_path_says_what_it_wants() {
        assert_eq!(Wish::of("/"), Some(Wish::Echo));
        assert_eq!(Wish::of("/cart/1"), Some(Wish::Echo));
        assert_eq!(Wish::of("/ready"), Some(Wish::Ready));
        assert_eq!(
            Wish::of("/status/503"),
            Some(Wish::Status(StatusCode::SERVICE_UNAVAILABLE))
        );
        assert_eq!(Wish::of("/delay/250ms"), Some(Wish::Delay(Duration::from_millis(250))));
        assert_eq!(Wish::of("/bytes/10"), Some(Wish::Bytes(10)));
        for wrong in ["/status/9", "/delay/x", "/bytes/99999999999"] {
            assert_eq!(Wish::of(wrong), None, "{wrong}");
        }
    }
}

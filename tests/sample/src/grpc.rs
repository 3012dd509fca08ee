//! gRPC's health service, which answers that all is well: what the kubelet's probes ask. Its messages are so small that
//! they are written here by hand (grpc.health.v1).

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::serve::State;

/// Serves a connection. The pod's name comes as the header `pod`, the client's address as `client`.
pub(crate) async fn serve(state: Arc<State>, stream: TcpStream, client: SocketAddr) -> anyhow::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = Arc::clone(&state);
        async move {
            let known = request.uri().path() == CHECK;
            // The question names a service, and all are equally well.
            let _ = request.into_body().collect().await;
            let message = if known { SERVING } else { &[] };
            let status = if known { "0" } else { UNIMPLEMENTED };
            let trailers = HeaderMap::from_iter([(header::HeaderName::from_static(STATUS), value(status))]);
            let body =
                Full::new(Bytes::from_static(message)).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, value("application/grpc"));
            headers.insert("pod", value(&state.me.pod));
            headers.insert("client", value(&client.to_string()));
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    Ok(connection.await?)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unprintable"))
}

/// The method that probes call.
pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A `HealthCheckRequest` for the server as a whole: not compressed, no bytes.
pub(crate) const QUESTION: &[u8] = &[0, 0, 0, 0, 0];

/// A `HealthCheckResponse` with its status SERVING, not compressed, two bytes long.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];

/// The trailer of a call's outcome.
pub(crate) const STATUS: &str = "grpc-status";

const UNIMPLEMENTED: &str = "12";
